// SPDX-License-Identifier: MPL-2.0

package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool

	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of every node's guard",
		Long: `Show the state of every node's guard, one row per node. On a node with several targets the row shows the target under
a ceiling, or the one that uses the most CPU.

Exit codes: 0 no ceiling limits a workload, 2 a ceiling does (throttled, probing), 3 a guard is unavailable, has no
target or cannot be reached.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := query[*client.Status]{
				columns: output.Titles("STATE", "TARGET", "CPU", "TX", "ALLOC", "CEILING", "RULE", "SINCE", "MODE",
					"+RX", "+MEMORY", "+THROTTLED", "+HITS", "+READY", "+OVERRIDES", "+VERSION", "+MESSAGE"),
				question: (*client.Node).Status,
				rows:     a.statusRows,
				judge:    func(s *client.Status) int { return codeOf(s.State) },
			}

			return q.run(cmd.Context(), a, watch, resources.GuardStatusType)
		},
	}

	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "continue and print each change")

	return cmd
}

func (a *app) statusRows(s *client.Status) []output.Row {
	target := s.Worst()

	var overrides []string

	for _, o := range s.Overrides {
		overrides = append(overrides, o.Kind+a.left(" for ", o.Until)+" by "+o.By.Subject)
	}

	return []output.Row{{Severity: output.SeverityOf(s.State), Cells: []string{
		s.State, target.ID, reading(config.SignalCPU, target.CPU), reading(config.SignalNetworkTX, target.TXBytesPerSecond),
		reading(config.SignalAllocation, target.Application.AllocBytesPerSecond), ceilingInForce(target.Ceiling), target.LoudestRule(),
		a.ago(s.Since), s.Mode, reading(config.SignalNetworkRX, target.RXBytesPerSecond), bytesOf(target.MemoryBytes),
		reading(config.SignalThrottled, target.ThrottledRatio), reading(config.SignalThrottled, target.Application.MirrorHitRatio),
		readiness(target.Application.Ready), strings.Join(overrides, "; "), s.Version, s.Message,
	}}}
}

// ceilingInForce formats the ceiling that the kernel has; a ceiling that is only observed is not in force.
func ceilingInForce(c *resources.CeilingStatusSpec) string {
	cores := client.CeilingCores(c)
	if cores == 0 {
		return ""
	}

	return config.SignalCPU.Format(cores)
}
