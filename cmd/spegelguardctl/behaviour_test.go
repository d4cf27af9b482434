// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestStatus_SetsExitCodes(t *testing.T) {
	c := newCluster(t)

	assert.Equal(t, 0, c.run("status", "-n", "talos-prod-1,talos-prod-3").code)
	assert.Equal(t, exitThrottled, c.run("status", "-n", "all").code)

	got := c.run("status", "--config", "x")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "unknown flag: --config")

	require.NoError(t, safe.StateModify(t.Context(), c.guards[0].State, resources.NewGuardStatus(resources.GuardStatusID), func(r *resources.GuardStatus) error {
		r.TypedSpec().State = resources.StateUnavailable

		return nil
	}))
	assert.Equal(t, exitUnavailable, c.run("status").code)

	// A node that is not there does not keep the others from being shown.
	c.addresses["talos-prod-3"] = "127.0.0.1:1"
	got = c.run("status")
	assert.Equal(t, exitUnavailable, got.code)
	assert.Contains(t, got.stdout, "talos-prod-2   throttled")
	assert.Contains(t, got.stderr, "1 of 3 nodes failed:\n\ttalos-prod-3: nothing listens on talos-prod-3:50321")

	got = c.run("status", "-n", "nowhere.invalid")
	assert.Equal(t, exitUnavailable, got.code)
	assert.Contains(t, got.stderr, "spegelguardctl: nowhere.invalid: DNS does not resolve this name")
}

// TestCodeOf_ThrottledOnlyWhileACeilingLimits: a ceiling that limits nothing has the exit code of a guard without one.
func TestCodeOf_ThrottledOnlyWhileACeilingLimits(t *testing.T) {
	codes := map[string]int{
		resources.StateThrottled: exitThrottled, resources.StateProbing: exitThrottled,
		resources.StateOK: 0, resources.StatePending: 0, resources.StateFiring: 0, resources.StateReleasing: 0, resources.StatePaused: 0,
	}

	for _, state := range resources.GuardStates() {
		want, ok := codes[state]
		if !ok {
			want = exitUnavailable
		}

		assert.Equal(t, want, codeOf(state), state)
	}
}

func TestStatus_SelectsContextsAndNodes(t *testing.T) {
	c := newCluster(t)

	nodes := func(args ...string) string {
		return c.run(append([]string{"status", "-o", "jsonpath={.node}"}, args...)...).stdout
	}

	assert.Equal(t, "talos-prod-3\n", nodes("--context", "other"))
	assert.Equal(t, "talos-prod-2\ntalos-prod-1\n", nodes("-n", "talos-prod-2", "-n", "talos-prod-1,talos-prod-2"))
	assert.Equal(t, "talos-prod-3\ntalos-prod-1\n", nodes("--context", "other", "-n", "all,talos-prod-1"))

	got := c.run("status", "--context", "none")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, `no such context in the talosconfig: "none"`)
}

// TestStatus_ReportsEachResponseWithoutOutput: a template without a result for one node does not end the request to the others.
func TestStatus_ReportsEachResponseWithoutOutput(t *testing.T) {
	c := newCluster(t)

	got := c.run("status", "-n", "talos-prod-1,talos-prod-2", "-o", "jsonpath={.targets[9].id}")
	assert.Equal(t, 2, got.code, "that of the node that is throttled")
	assert.Empty(t, got.stdout)
	assert.Contains(t, got.stderr, "2 of 2 nodes failed")
	assert.Contains(t, got.stderr, "array index out of bounds")
	assert.Contains(t, got.stderr, "talos-prod-1, talos-prod-2")
}

// TestStatus_UsesEndpoints: an endpoint that does not forward serves itself and names the setting.
func TestStatus_UsesEndpoints(t *testing.T) {
	c := newCluster(t)
	host, _, _ := strings.Cut(c.addresses["talos-prod-1"], ":")

	got := c.run("status", "-e", "talos-prod-1", "-n", host+",talos-prod-2", "-o", "jsonpath={.node} {.state}")
	assert.Equal(t, host+" ok\n", got.stdout)
	assert.Contains(t, got.stderr, "talos-prod-2: ")
	assert.Contains(t, got.stderr, "api.forward")
}

func TestThrottle_NeedsOperator(t *testing.T) {
	c := newCluster(t, role.Reader)

	got := c.run("throttle", "-n", "talos-prod-1")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "PermissionDenied: Throttle needs one of the roles os:admin, os:operator, the client certificate has os:reader")

	assert.Equal(t, 0, c.run("status", "-n", "talos-prod-1").code)
}

func TestCommand_ReportsMistakes(t *testing.T) {
	c := newCluster(t)

	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"throttle", "--ceiling", "lots"}, `invalid --ceiling "lots": must be a number of cores such as 500m (10m..1024)`},
		{[]string{"throttle", "--ceiling", "18446744073709552.116"}, `invalid --ceiling "18446744073709552.116": must be a number of cores`},
		{[]string{"throttle", "--ceiling", "-1"}, `invalid --ceiling "-1": must be a number of cores`},
		{[]string{"status", "--timeout", "-1s"}, `invalid --timeout "-1s": must be a duration above 0`},
		{[]string{"top", "--interval", "0s"}, `invalid --interval "0s": must be a duration above 0`},
		{[]string{"compare", "--watch", "--interval", "3000000h"}, `invalid --interval "3000000h": must be a duration`},
		{[]string{"throttle", "--for", "3000000h"}, `invalid --for "3000000h": must be a duration`},
		{[]string{"throttle", "-n", "talos-prod-1", "--ceiling", "10m"}, "InvalidArgument"},
		{[]string{"release", "-n", "talos-prod-1", "--for", "48h"}, "1s..24h"},
		{[]string{"release", "-n", "talos-prod-1", "--target", "a/b/c"}, "NotFound"},
		{[]string{"top", "-o", "json"}, "top is for a terminal (use top --once or status --watch)"},
		{[]string{"top"}, "the output is not a terminal: use top --once"},
		{[]string{"top", "--no-headers"}, "invalid --no-headers: it needs --once"},
		{[]string{"top", "--once", "--interval", "1s"}, "invalid --interval: --once reads each node once"},
		{[]string{"top", "--once", "-o", "xml"}, `invalid --output "xml": must be table`},
		{
			[]string{"top", "--sort-by", "memory"},
			`invalid --sort-by "memory": must be node, state, cpu, tx, allocation, throttled, rx or pressure`,
		},
		{[]string{"rules", "--form", "x"}, `invalid --form "x": must be prometheusrule, plain or inhibit`},
		{[]string{"rules", "--form", "plain", "--label", "a=b"}, `invalid --label: --form plain has none, only prometheusrule`},
		{[]string{"rules", "--form", "inhibit", "--namespace", "a"}, `invalid --namespace: --form inhibit has none, only prometheusrule`},
		{[]string{"rules", "--label", "a"}, `a must be formatted as key=value`},
		{[]string{"rules", "--label", "a=b c"}, `invalid --label "a=b c": `},
		{[]string{"rules", "--runbook-base", "wiki"}, `invalid --runbook-base "wiki": must be an absolute URL without a fragment`},
		{[]string{"scrape", "--form", "x"}, `invalid --form "x": must be scrapeconfig or plain`},
		{[]string{"scrape"}, `metrics.listen is not set, the guards serve no metrics`},
		{[]string{"dashboard", "--form", "x"}, `invalid --form "x": must be json or configmap`},
		{[]string{"dashboard", "--namespace", "a"}, `invalid --namespace: --form json has none, only configmap`},
		{[]string{"dashboard", "-o", "table"}, `invalid --output "table": dashboard prints yaml, json or jsonpath=TEMPLATE`},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			got := c.run(test.args...)
			assert.Equal(t, 1, got.code)
			assert.Contains(t, got.stderr, test.want)
			assert.NotContains(t, got.stdout, "throttle")
		})
	}
}

// TestCommand_NeedsNoNode: what is wrong, or known, without a node is said without one.
func TestCommand_NeedsNoNode(t *testing.T) {
	for _, test := range []struct {
		args        []string
		out, failed string
	}{
		{[]string{"--version"}, "spegelguardctl version " + version, ""},
		{[]string{"rules", "--form", "x"}, "", `invalid --form "x"`},
		{[]string{"report", "--form", "x"}, "", `invalid --form "x"`},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			var out bytes.Buffer

			a := newApp()
			a.stdout, a.stderr = &out, &out
			a.open = func(client.Options) (*client.Fleet, error) {
				assert.Fail(t, "no node is needed")

				return nil, errors.New("none")
			}

			root := a.root()
			root.SetArgs(test.args)

			err := root.ExecuteContext(t.Context())
			assert.Contains(t, out.String(), test.out)

			if test.failed == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.failed)
			}
		})
	}
}

// eventually runs a command in the background until what it prints has a text.
func eventually(t *testing.T, c *cluster, want func(stdout string) bool, then func(), args ...string) string {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr := &buffer{}, &buffer{}
	done := make(chan error, 1)

	go func() { done <- c.start(ctx, stdout, stderr, args...) }()

	require.Eventually(t, func() bool { return strings.Contains(stdout.String(), "talos-prod") }, time.Minute, 10*time.Millisecond)
	then()
	require.Eventually(t, func() bool { return want(stdout.String()) }, time.Minute, 20*time.Millisecond, "%s", stdout)
	cancel()
	require.NoError(t, <-done)

	return stdout.String()
}

func TestStatus_Watches(t *testing.T) {
	c := newCluster(t)

	change := func() {
		require.NoError(t, safe.StateModify(t.Context(), c.guards[2].State, resources.NewGuardStatus(resources.GuardStatusID), func(r *resources.GuardStatus) error {
			r.TypedSpec().State = resources.StatePending

			return nil
		}))
	}

	// The nodes respond in any order.
	shown := func(s string) bool {
		return strings.Contains(s, "talos-prod-3   pending") && strings.Contains(s, "talos-prod-2   throttled")
	}

	out := eventually(t, c, shown, change, "status", "-w")
	assert.Equal(t, 1, strings.Count(out, "NODE"), "one header")
}

// TestExplain_Watches: each part of an explanation that changes is printed, and the seconds until a release are not.
func TestExplain_Watches(t *testing.T) {
	const node, target = "talos-prod-2", "spegel/spegel-2x7k2/registry"

	for _, test := range []struct {
		name   string
		change func(*testing.T, state.State)
		want   string
	}{
		{"state", func(t *testing.T, s state.State) {
			require.NoError(t, safe.StateModify(t.Context(), s, resources.NewGuardStatus(resources.GuardStatusID), func(r *resources.GuardStatus) error {
				r.TypedSpec().State = resources.StateProbing

				return nil
			}))
		}, "probing"},
		{"ceiling", func(t *testing.T, s state.State) {
			require.NoError(t, safe.StateModify(t.Context(), s, resources.NewCeilingStatus(target), func(r *resources.CeilingStatus) error {
				r.TypedSpec().LastError = "cpu.max is not writable"

				return nil
			}))
		}, "cpu.max is not writable"},
		{"outcome", func(t *testing.T, s state.State) {
			require.NoError(t, safe.StateModify(t.Context(), s, resources.NewVerdict(target), func(r *resources.Verdict) error {
				r.TypedSpec().Outcome = "contained"

				return nil
			}))
		}, "contained"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t)

			eventually(t, c, func(s string) bool { return strings.Contains(s, test.want) }, func() { test.change(t, c.guards[1].State) },
				"explain", "-w", "-n", node)
		})
	}
}

func TestEvents_Follow(t *testing.T) {
	c := newCluster(t)

	throttle := func() {
		// The stream is open when the past has been shown; what comes now is news.
		require.Equal(t, 0, c.run("throttle", "-n", "talos-prod-3", "--ceiling", "200m").code)
	}

	out := eventually(t, c, func(s string) bool { return strings.Contains(s, "talos-prod-3") }, throttle, "events", "-f")
	assert.Contains(t, out, "throttle")
}

func TestCommand_Completes(t *testing.T) {
	c := newCluster(t)

	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "--context", ""}, "other\nprod\n"},
		{[]string{"status", "-n", "talos-prod-2"}, "talos-prod-2\n"},
		{[]string{"status", "-o", "j"}, "json\njsonpath=\n"},
		{[]string{"comp"}, "compare\ncompletion\n"},
		{[]string{"explain", "-n", "talos-prod-2", ""}, "spegel/spegel-2x7k2/registry\n"},
		{[]string{"explain", "spegel/spegel-3"}, "spegel/spegel-3x7k2/registry\n"},
		{[]string{"release", "-n", "talos-prod-1", "--target", "spegel"}, "spegel/spegel-1x7k2/registry\n"},
		{[]string{"history", "--target", "spegel/spegel-2"}, "spegel/spegel-2x7k2/registry\n"},
		{[]string{"capture", "--target", "spegel/spegel-2"}, "spegel/spegel-2x7k2/registry\n"},
		{[]string{"config", "generate", "--mode", ""}, "observe\nenforce\n"},
		{[]string{"config", "generate", "--on-stop", "k"}, "keep\n"},
		{[]string{"rules", "--form", "p"}, "prometheusrule\nplain\n"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			words := strings.Split(c.run(append([]string{"__complete"}, test.args...)...).stdout, "\n:")[0]

			var found []string

			for line := range strings.Lines(words) {
				word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t") // a description follows
				found = append(found, word)
			}

			// Contexts come in any order.
			assert.ElementsMatch(t, strings.Fields(test.want), found)
		})
	}

	// There is one TARGET.
	assert.NotContains(t, c.run("__complete", "explain", "a/b/c", "").stdout, "spegel")

	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		assert.Equal(t, 0, c.run("completion", shell).code)
	}
}

func TestTable_HasColourOnTerminals(t *testing.T) {
	c := newCluster(t)
	assert.NotContains(t, c.run("status").stdout, "\x1b")

	t.Setenv("CLICOLOR_FORCE", "1")
	assert.Contains(t, c.run("status").stdout, "\x1b[3", "forced")

	t.Setenv("NO_COLOR", "1")
	assert.NotContains(t, c.run("status").stdout, "\x1b")
}
