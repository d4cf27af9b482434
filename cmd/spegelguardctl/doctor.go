// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/internal/unreachable"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check what guards need and show how to fix what fails",
		Long: `Check what guards need and show how to fix what fails: the client's certificate, and on each node the kernel, cgroups,
SELinux, sockets, certificates, signals and the target with its limits. Nothing is changed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			columns := output.Titles("CHECK", "STATE", "FOUND", "FIX")

			own, err := a.ownCheckup()
			if err != nil {
				return err
			}

			return query[*guardv1alpha1.Checkup]{
				columns: columns, first: []output.Item{{Node: ownName, Value: own, Rows: checkRows(own)}},
				question: a.checkup, rows: checkRows,
				judge: func(c *guardv1alpha1.Checkup) int {
					for _, check := range c.GetChecks() {
						if check.GetState() == resources.CheckFailed {
							return exitUnavailable
						}
					}

					return 0
				},
			}.ask(cmd.Context(), a)
		},
	}
}

func checkRows(c *guardv1alpha1.Checkup) []output.Row {
	var rows []output.Row

	for _, check := range c.GetChecks() {
		row := output.Row{Cells: []string{check.GetName(), check.GetState(), check.GetMessage(), check.GetFix()}}

		switch check.GetState() {
		case resources.CheckOK:
			row.Severity = output.Good
		case resources.CheckWarning:
			row.Severity = output.Warning
		case resources.CheckFailed:
			row.Severity = output.Bad
		}

		rows = append(rows, row)
	}

	return rows
}

// ownCheckup checks the client. It comes first, because a wrong certificate makes every node fail.
func (a *app) ownCheckup() (*guardv1alpha1.Checkup, error) {
	fleet, err := a.open(a.Options)
	if err != nil {
		return nil, err
	}

	defer fleet.Close() //nolint:errcheck // nothing was sent

	return &guardv1alpha1.Checkup{Checks: []*guardv1alpha1.Check{certificateCheck(fleet.Certificate().Leaf, a.now())}}, nil
}

// expiresSoon is the remaining time below which a certificate is a warning.
const expiresSoon = 14 * 24 * time.Hour

func certificateCheck(leaf *x509.Certificate, now time.Time) *guardv1alpha1.Check {
	roles := strings.Join(leaf.Subject.Organization, ", ")
	check := &guardv1alpha1.Check{
		Name: "certificate", State: resources.CheckOK,
		Message: fmt.Sprintf("%s with the roles %s, valid until %s", leaf.Subject.CommonName, roles, leaf.NotAfter.UTC().Format(time.RFC3339)),
	}

	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		check.State, check.Fix = resources.CheckFailed, "it has expired: "+unreachable.RenewCertificate
	case now.Before(leaf.NotBefore):
		check.State = resources.CheckFailed
		check.Fix = "it is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339) + ": check the clock of this machine, and of the one that created it"
	case left < expiresSoon:
		check.State, check.Fix = resources.CheckWarning, "it expires in "+duration.Format(left)+": create a new one with talosctl config new --roles os:admin"
	case !strings.Contains(roles, "os:"):
		check.State, check.Fix = resources.CheckFailed, "it has none of Talos' roles: reading needs os:reader, overrides need os:operator"
	}

	return check
}

// checkup returns the checks of a node's guard, and those that the client makes.
func (a *app) checkup(node *client.Node, ctx context.Context) (*guardv1alpha1.Checkup, error) {
	guards, err := node.Doctor(ctx)
	if err != nil {
		return nil, err
	}

	talos, err := node.Version(ctx)
	if err != nil {
		return nil, err
	}

	guards.Checks = append([]*guardv1alpha1.Check{versionCheck(talos)}, guards.GetChecks()...)

	return guards, nil
}

func versionCheck(talos *machine.Version) *guardv1alpha1.Check {
	guard := client.GuardVersion(talos)
	check := &guardv1alpha1.Check{
		Name: "version", State: resources.CheckOK,
		Message: fmt.Sprintf("guard %s, Talos API %s, this command %s", guard, talos.GetVersion().GetTag(), version),
	}

	if version != "dev" && !client.WithinSkew(version, guard) {
		check.State = resources.CheckWarning
		check.Fix = fmt.Sprintf("use a command at most %d minor versions from the guard, or upgrade the extension", client.MaxSkew)
	}

	return check
}
