// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// order is what all orders have.
type order struct {
	target, reason string
	lasting        time.Duration
}

// orderCommands tell guards what to do; that needs the role os:operator or os:admin.
func (a *app) orderCommands() []*cobra.Command {
	return []*cobra.Command{a.releaseCommand(), a.throttleCommand(), a.pauseCommand(), a.resumeCommand(), a.captureCommand()}
}

// order makes a command of an order.
func (a *app) order(use, short string, targeted bool, lasting time.Duration, give func(*client.Node, context.Context, order) (*guardv1alpha1.Act, error)) *cobra.Command {
	var o order

	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return query[*guardv1alpha1.Act]{
				columns:  output.Titles("TARGET", "ORDER", "CEILING", "FOR", "REASON", "+BY", "+UNTIL"),
				question: func(n *client.Node, ctx context.Context) (*guardv1alpha1.Act, error) { return give(n, ctx, o) },
				rows:     func(act *guardv1alpha1.Act) []output.Row { return a.actRows(cmd.Name(), act) },
			}.ask(cmd.Context(), a)
		},
	}

	if targeted {
		cmd.Flags().StringVar(&o.target, "target", "", "id of a target; empty: all of them")
	}

	if lasting > 0 {
		cmd.Flags().DurationVar(&o.lasting, "for", lasting, "how long it holds, 1s to 24h")
	}

	cmd.Flags().StringVar(&o.reason, "reason", "", "reason, for the record")

	return cmd
}

func (a *app) releaseCommand() *cobra.Command {
	return a.order("release", "Take ceilings back at once, and let none be written for a while", true, 10*time.Minute,
		func(n *client.Node, ctx context.Context, o order) (*guardv1alpha1.Act, error) {
			return n.Release(ctx, &guardv1alpha1.ReleaseRequest{Target: o.target, For: durationpb.New(o.lasting), Reason: o.reason})
		})
}

func (a *app) throttleCommand() *cobra.Command {
	var ceiling string

	cmd := a.order("throttle", "Put a ceiling on targets for a while, whatever their rules say", true, 10*time.Minute,
		func(n *client.Node, ctx context.Context, o order) (*guardv1alpha1.Act, error) {
			quantity, err := resource.ParseQuantity(ceiling)
			if err != nil {
				return nil, fmt.Errorf("--ceiling %q is not allowed, allowed is a quantity such as 300m", ceiling)
			}

			return n.Throttle(ctx, &guardv1alpha1.ThrottleRequest{
				Target: o.target, CeilingMillicores: quantity.MilliValue(), For: durationpb.New(o.lasting), Reason: o.reason,
			})
		})

	// Before any node is asked: one of many must not be throttled alone because of a slip.
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if _, err := resource.ParseQuantity(ceiling); err != nil {
			return fmt.Errorf("--ceiling %q is not allowed, allowed is a quantity of cores such as 300m", ceiling)
		}

		return nil
	}

	cmd.Flags().StringVar(&ceiling, "ceiling", "500m", "cores, from the configured floor on; never above the owner's own limit")

	return cmd
}

func (a *app) pauseCommand() *cobra.Command {
	return a.order("pause", "Let guards write nothing for a while; ceilings in force are taken back", false, 10*time.Minute,
		func(n *client.Node, ctx context.Context, o order) (*guardv1alpha1.Act, error) {
			return n.Pause(ctx, &guardv1alpha1.PauseRequest{For: durationpb.New(o.lasting), Reason: o.reason})
		})
}

func (a *app) resumeCommand() *cobra.Command {
	return a.order("resume", "End orders before their time", true, 0,
		func(n *client.Node, ctx context.Context, o order) (*guardv1alpha1.Act, error) {
			return n.Resume(ctx, &guardv1alpha1.ResumeRequest{Target: o.target, Reason: o.reason})
		})
}

func (a *app) captureCommand() *cobra.Command {
	return a.order("capture", "Keep what targets say of themselves now, on their nodes", true, 0,
		func(n *client.Node, ctx context.Context, o order) (*guardv1alpha1.Act, error) {
			return n.Capture(ctx, &guardv1alpha1.CaptureRequest{Target: o.target, Reason: o.reason})
		})
}

func (a *app) actRows(name string, act *guardv1alpha1.Act) []output.Row {
	var rows []output.Row

	for _, o := range act.GetOverrides() {
		kind := o.GetKind()
		if name == "resume" {
			kind += " ended"
		}

		rows = append(rows, output.Row{Cells: []string{
			o.GetTarget(), kind, millicores(o.GetCeilingMillicores()), rounded(o.GetUntil().AsTime().Sub(o.GetSince().AsTime())),
			o.GetReason(), o.GetBy().GetSubject(), clock(o.GetUntil()),
		}})
	}

	for _, e := range act.GetEvidence() {
		row := output.Row{Cells: []string{e.GetTarget(), name, "", "", e.GetPath()}}

		if e.GetError() != "" {
			row.Severity = output.Bad
			row.Cells[4] += " " + e.GetError()
		}

		rows = append(rows, row)
	}

	if len(rows) == 0 {
		rows = append(rows, output.Row{Cells: []string{"", name, "", "", "there was nothing to do"}})
	}

	return rows
}
