// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
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

func TestEvents_Follow(t *testing.T) {
	c := newCluster(t)

	throttle := func() {
		// The stream is open when the past has been shown; what comes now is news.
		require.Equal(t, 0, c.run("throttle", "-n", "talos-prod-3", "--ceiling", "200m").code)
	}

	out := eventually(t, c, func(s string) bool { return strings.Contains(s, "talos-prod-3") }, throttle, "events", "-f")
	assert.Contains(t, out, "throttle")
}

// TestSupport_HasNoSecrets: an archive of everything, with secrets planted where a careless guard could show them.
func TestSupport_HasNoSecrets(t *testing.T) {
	c := newCluster(t)
	path := filepath.Join(t.TempDir(), "support.zip")

	config, err := clientconfig.Open(c.talosconfig)
	require.NoError(t, err)

	encoded := config.Contexts["prod"].Key
	pem, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)

	require.NoError(t, safe.StateModify(t.Context(), c.guards[0].State, resources.NewGuardStatus(resources.GuardStatusID), func(r *resources.GuardStatus) error {
		r.TypedSpec().Message = "key: " + encoded + " and " + string(pem) + " and https://anna:hunter2@registry and password: hunter3, token=hunter4 Authorization: Bearer hunter5"

		return nil
	}))

	c.addresses["talos-prod-3"] = "127.0.0.1:1"

	got := c.run("support", "-O", path)
	assert.Equal(t, exitUnavailable, got.code)
	assert.Contains(t, got.stderr, "has the data of 2 of 3 nodes")

	archive, err := zip.OpenReader(path)
	require.NoError(t, err)

	defer archive.Close()

	all := map[string]string{}

	for _, file := range archive.File {
		r, err := file.Open()
		require.NoError(t, err)

		text, err := io.ReadAll(r)
		require.NoError(t, err)

		all[file.Name] = string(text)

		for _, secret := range []string{encoded, string(pem), strings.Split(string(pem), "\n")[1], "hunter", "PRIVATE KEY"} {
			assert.NotContains(t, string(text), secret, file.Name)
		}
	}

	for _, name := range []string{
		"contents.txt", "talos-prod-1/status.json", "talos-prod-1/explain.json", "talos-prod-1/doctor.json", "talos-prod-1/history.json",
		"talos-prod-2/events.json", "talos-prod-1/version.json", "talos-prod-1/resources/GuardConfigs.spegelguard.dev.yaml",
		"talos-prod-1/resources/TargetStats.spegelguard.dev.yaml", "talos-prod-1/resources/NodeStats.spegelguard.dev.yaml", "talos-prod-3/node.error.txt",
	} {
		assert.NotEmpty(t, all[name], name)
	}

	assert.Contains(t, all["talos-prod-1/resources/GuardConfigs.spegelguard.dev.yaml"], "SpegelHighCPU")
	assert.Contains(t, all["talos-prod-2/events.json"], "50001 100000")

	// Nothing is overwritten.
	assert.Equal(t, 1, c.run("support", "-O", path).code)
}

func TestRules_RefuseDifferentConfigurations(t *testing.T) {
	c := newCluster(t)

	require.NoError(t, safe.StateModify(t.Context(), c.guards[2].State, resources.NewGuardConfig(resources.GuardConfigID), func(r *resources.GuardConfig) error {
		r.TypedSpec().Document = "mode: observe"

		return nil
	}))

	got := c.run("rules")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "talos-prod-1 and talos-prod-3 have different configurations")
	assert.Empty(t, got.stdout)
}

func TestConfigValidate_FindsMistakes(t *testing.T) {
	c := &cluster{}

	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "f.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))

		return path
	}

	got := c.run("config", "validate", "../../extension/patches/aggressive.yaml")
	assert.Equal(t, ran{stderr: "../../extension/patches/aggressive.yaml is valid\n"}, got)

	// What generate prints is valid, and lines are those of the machine configuration.
	generated := c.run("config", "generate", "--cpu", "300m", "--ceiling", "400m")
	require.Equal(t, 0, generated.code, generated.stderr)
	assert.Equal(t, 0, c.run("config", "validate", write(generated.stdout)).code)

	broken := write(strings.NewReplacer("threshold: 300m", "threshold: much", "cpu: 400m", "cpu: 1m").Replace("machine:\n  type: worker\ncluster: {}\n---\n" + generated.stdout))
	got = c.run("config", "validate", broken, "-o", "jsonpath={range .mistakes[*]}{.line} {.field}\n{end}")
	assert.Equal(t, 1, got.code)

	file, err := os.ReadFile(broken)
	require.NoError(t, err)

	lines := strings.Split(string(file), "\n")
	for _, mistake := range []struct{ field, text string }{{"ceiling.cpu", "cpu: 1m"}, {"rules[0].threshold", "threshold: much"}} {
		for i, line := range lines {
			if strings.Contains(line, mistake.text) {
				assert.Contains(t, got.stdout, strconv.Itoa(i+1)+" "+mistake.field)
			}
		}
	}

	// What is wrong with Talos' part does not hide the rest.
	got = c.run("config", "validate", write("apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: spegel-guard\nconfigfiles: []\nconfigFiles:\n"+
		"- mountPath: /usr/local/etc/spegel-guard/config.yaml\n  content: |\n    mode: kill\n"))
	assert.Contains(t, got.stdout, "(Talos' documents)")
	assert.Contains(t, got.stdout, "configfiles")
	assert.Regexp(t, `8 +mode +kill +observe or enforce`, got.stdout)

	got = c.run("config", "validate", write("kind: ExtensionServiceConfig\napiVersion: v1alpha1\nname: other\n"))
	assert.Contains(t, got.stderr, "no ExtensionServiceConfig named spegel-guard")

	// A dash is the standard input.
	var stdout, stderr bytes.Buffer

	a := newApp()
	a.stdout, a.stderr = &stdout, &stderr

	root := a.root()
	root.SetIn(strings.NewReader("mode: kill\n"))
	root.SetArgs([]string{"config", "validate", "-"})
	require.EqualError(t, root.Execute(), "1 mistake in the standard input")
	assert.Regexp(t, `1 +mode +kill +observe or enforce`, stdout.String())

	root.SetIn(strings.NewReader("mode: observe\n"))
	require.NoError(t, root.Execute())
	assert.Equal(t, "the standard input is valid\n", stderr.String())

	got = c.run("config", "generate", "--mode", "kill", "--cpu", "much")
	assert.Equal(t, 1, got.code)
	assert.Regexp(t, `invalid --cpu "much": .*; invalid --mode "kill": must be observe or enforce`, got.stderr)
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
		{[]string{"comp"}, "compare\t"},
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
			words := strings.Split(c.run(append([]string{"__complete"}, test.args...)...).stdout, ":")[0]

			// Contexts come in any order.
			for _, word := range strings.SplitAfter(test.want, "\n") {
				assert.Contains(t, words, word)
			}
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
