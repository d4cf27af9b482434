// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// override has the flags of an override.
type override struct {
	target, reason string
	lasting        time.Duration
}

// request sends an override to one node.
type request = func(*client.Node, context.Context, override) (*guardv1alpha1.OverrideResult, error)

// overrideCommands need the role os:operator or os:admin.
func (a *app) overrideCommands() []*cobra.Command {
	return []*cobra.Command{a.releaseCommand(), a.throttleCommand(), a.pauseCommand(), a.resumeCommand()}
}

// override returns the command of one kind of override; lasting 0 is one without --for.
func (a *app) override(use, short string, lasting time.Duration, send request) *cobra.Command {
	var o override

	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		Long: short + ".\n\nThe nodes must be named: -n NODE, or -n all for all nodes of the context. The role os:operator or os:admin is needed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.namesNodes(cmd); err != nil {
				return err
			}

			return query[*guardv1alpha1.OverrideResult]{
				columns: output.Titles("TARGET", "OVERRIDE", "CEILING", "FOR", "REASON", "+BY", "+UNTIL"),
				question: func(n *client.Node, ctx context.Context) (*guardv1alpha1.OverrideResult, error) {
					return send(n, ctx, o)
				},
				rows: func(r *guardv1alpha1.OverrideResult) []output.Row { return overrideRows(cmd.Name(), r) },
			}.ask(cmd.Context(), a)
		},
	}

	// A pause is for the whole node.
	if use != "pause" {
		cmd.Flags().StringVar(&o.target, "target", "", "id of a target (default all targets)")
	}

	if lasting > 0 {
		cmd.Flags().DurationVar(&o.lasting, "for", lasting, "how long the override stays in force, 1s to 24h")
	}

	cmd.Flags().StringVar(&o.reason, "reason", "", "reason for the record")

	return cmd
}

// namesNodes returns an error if no node is named: a command that changes something must not do it on every node because a flag, or a
// variable of the shell, was forgotten.
func (a *app) namesNodes(cmd *cobra.Command) error {
	if len(a.Nodes) > 0 {
		return nil
	}

	return fmt.Errorf("%s needs --nodes: name the nodes, or use -n all for all nodes of the context", cmd.CommandPath())
}

func (a *app) releaseCommand() *cobra.Command {
	return a.override("release", "Remove ceilings and suspend enforcement for targets for a limited time", 10*time.Minute,
		func(n *client.Node, ctx context.Context, o override) (*guardv1alpha1.OverrideResult, error) {
			return n.Release(ctx, &guardv1alpha1.ReleaseRequest{Target: o.target, For: durationpb.New(o.lasting), Reason: o.reason})
		})
}

func (a *app) throttleCommand() *cobra.Command {
	var ceiling string

	cmd := a.override("throttle", "Apply a ceiling to targets for a limited time", 10*time.Minute,
		func(n *client.Node, ctx context.Context, o override) (*guardv1alpha1.OverrideResult, error) {
			cpu, err := config.ParseCPU("--ceiling", ceiling)
			if err != nil {
				return nil, err
			}

			return n.Throttle(ctx, &guardv1alpha1.ThrottleRequest{
				Target: o.target, CeilingMillicores: cpu.Millicores, For: durationpb.New(o.lasting), Reason: o.reason,
			})
		})

	// Checked before any request: a mistake must not reach some of the nodes.
	cmd.PreRunE = func(*cobra.Command, []string) error {
		_, err := config.ParseCPU("--ceiling", ceiling)

		return err
	}

	cmd.Flags().StringVar(&ceiling, "ceiling", "500m", "ceiling in cores, at least the configured floor; the owner's limit applies if it is lower")

	return cmd
}

func (a *app) pauseCommand() *cobra.Command {
	return a.override("pause", "Suspend enforcement on nodes for a limited time", 10*time.Minute,
		func(n *client.Node, ctx context.Context, o override) (*guardv1alpha1.OverrideResult, error) {
			return n.Pause(ctx, &guardv1alpha1.PauseRequest{For: durationpb.New(o.lasting), Reason: o.reason})
		})
}

func (a *app) resumeCommand() *cobra.Command {
	return a.override("resume", "End overrides before their time", 0,
		func(n *client.Node, ctx context.Context, o override) (*guardv1alpha1.OverrideResult, error) {
			return n.Resume(ctx, &guardv1alpha1.ResumeRequest{Target: o.target, Reason: o.reason})
		})
}

func overrideRows(name string, result *guardv1alpha1.OverrideResult) []output.Row {
	var rows []output.Row

	for _, o := range result.GetOverrides() {
		kind := o.GetKind()
		if name == "resume" {
			kind += " ended"
		}

		rows = append(rows, output.Row{Cells: []string{
			o.GetTarget(), kind, resources.PrettyMillicores(o.GetCeilingMillicores()), duration.Format(o.GetFor().AsDuration()),
			o.GetReason(), o.GetBy().GetSubject(), timestamp(o.GetUntil()),
		}})
	}

	if len(rows) == 0 {
		rows = append(rows, output.Row{Cells: []string{"", name, "", "", "no override was in force"}})
	}

	return rows
}
