// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/test/doc"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// talosctlEnv is the path of the real program: make test-talosctl builds it and sets this.
const talosctlEnv = "SPEGEL_GUARD_TALOSCTL"

// talosctl is an operator with a talosconfig.
type talosctl struct {
	path, config string
}

func newTalosctl(t *testing.T, g *apitest.Guard, roles ...role.Role) talosctl {
	t.Helper()

	path := os.Getenv(talosctlEnv)
	if path == "" {
		t.Skip("make test-talosctl builds the real talosctl and runs this")
	}

	pair, err := g.PKI.Client("anna", time.Hour, roles...)
	require.NoError(t, err)

	cfg := clientconfig.Config{Context: "test", Contexts: map[string]*clientconfig.Context{"test": pki.Context(pair, g.Endpoint, g.PKI)}}
	file := filepath.Join(t.TempDir(), "talosconfig")
	require.NoError(t, cfg.Save(file))

	return talosctl{path: path, config: file}
}

func (c talosctl) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.path, append([]string{"--talosconfig", c.config}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(c.config))

	return cmd
}

// run returns what the program prints; it must succeed without a word of warning.
func (c talosctl) run(t *testing.T, args ...string) string {
	t.Helper()

	var warnings strings.Builder

	cmd := c.command(t.Context(), args...)
	cmd.Stderr = &warnings

	out, err := cmd.Output()
	require.NoError(t, err, "talosctl %v: %s", args, warnings.String())
	assert.Empty(t, warnings.String(), "talosctl %v", args)

	return string(out)
}

// fails returns the output of a command that must fail.
func (c talosctl) fails(t *testing.T, args ...string) string {
	t.Helper()

	out, err := c.command(t.Context(), args...).CombinedOutput()
	require.Error(t, err, "talosctl %v: %s", args, out)

	return string(out)
}

// TestTalosctl_ReadsResources runs the program itself, unmodified, as in README.
func TestTalosctl_ReadsResources(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	c := newTalosctl(t, controlPlane, role.Reader)
	here, there := []string{"-n", controlPlane.Host}, []string{"-n", worker.Host}

	get := func(where []string, args ...string) string {
		return c.run(t, append(append([]string{"get"}, args...), where...)...)
	}

	table := get(here, "spegel")
	t.Logf("talosctl get spegel:\n%s", table)
	assert.Regexp(t, `NODE +NAMESPACE +TYPE +ID +VERSION +STATE +CPU +TX +CEILING +SINCE +RULE +MODE`, table)
	assert.Regexp(t, `127\.0\.0\.1 +spegelguard +GuardStatus +spegel +\d+ +throttled`, table)

	for kind, names := range aliases {
		if kind == resources.OverrideType {
			continue // no override is in force
		}

		for _, name := range names {
			assert.Contains(t, get(here, name), controlPlane.Host, name)
		}
	}

	assert.Contains(t, get(here, "spegel", "-o", "yaml"), "\n    state: throttled\n")
	assert.Contains(t, get(here, "spegel", "spegel", "-o", "json"), `"state": "throttled"`)
	assert.Contains(t, get(here, "spegel", "-o", "jsonpath={.spec.state}"), "throttled")
	assert.Contains(t, get(here, "rd"), "guardstatuses.spegelguard.dev", "talosctl get rd")

	// Another node through this one, and both.
	assert.Regexp(t, `127\.0\.0\.2 +spegelguard +GuardStatus +spegel +\d+ +pending`, get(there, "spegel"))

	both := get([]string{"-n", controlPlane.Host + "," + worker.Host}, "spegel")
	assert.Contains(t, both, controlPlane.Host)
	assert.Contains(t, both, worker.Host)

	version := c.run(t, "version", "-n", controlPlane.Host, "-n", worker.Host)
	assert.Equal(t, 2, strings.Count(version, "NODE:"), version)
	assert.Contains(t, version, worker.Host)

	// -e with a port, as in README.
	assert.Contains(t, c.run(t, "-e", controlPlane.Endpoint, "-n", controlPlane.Host, "get", "ceilings"), " max ")
	assert.Regexp(t, `ACTION .*CHANGE +BY\n.* apply .*text -> text`, get(here, "actions"))
	assert.Regexp(t, `CPU +THROTTLED +MEMORY +TX +RX +ALLOC\n.* 500m +50 % +0 B +1 B/s +1 B/s +30 B/min`, get(here, "targetstats"))

	assert.Contains(t, newTalosctl(t, controlPlane, role.EtcdBackup).fails(t, "get", "spegel", "-n", controlPlane.Host), "PermissionDenied")
	assert.Contains(t, c.fails(t, "reboot", "-n", controlPlane.Host, "--wait=false"), "needs one of the roles")
}

// TestTalosctl_Watches is talosctl get -w.
func TestTalosctl_Watches(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	c := newTalosctl(t, g, role.Reader)

	ctx, cancel := context.WithTimeout(t.Context(), apitest.Patience)
	defer cancel()

	cmd := c.command(ctx, "get", "spegel", "-w", "-n", g.Host)

	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	lines := bufio.NewScanner(out)
	line := func() string {
		require.True(t, lines.Scan())

		return lines.Text()
	}

	assert.Contains(t, line(), "STATE")
	assert.Contains(t, line(), "throttled")

	apitest.Poke(t, g)
	assert.Regexp(t, `\+? *127\.0\.0\.1 .* throttled`, line())

	cancel()
	cmd.Wait()
}

// TestTalosctl_RunsAsDocumented: what documents have talosctl get is there, under that name; of commands that only a Talos node
// could answer, the program knows each flag.
func TestTalosctl_RunsAsDocumented(t *testing.T) {
	g, _ := apitest.NewFleet(t)
	c := newTalosctl(t, g, role.Reader)

	documents, err := doc.All("../../..")
	require.NoError(t, err)

	gets, others := 0, 0

	for _, document := range documents {
		for _, command := range document.Commands() {
			if command.Program() != "talosctl" {
				continue
			}

			args := doc.Words(strings.NewReplacer("NODE:50321", g.Endpoint, "CP:50321", g.Endpoint, "NODE", g.Host, "WORKER", g.Host).Replace(command.Line))[1:]

			// Extensions are Talos' own resource.
			if i := slices.Index(args, "get"); i >= 0 && args[i+1] != "extensions" {
				c.run(t, args...)

				gets++

				continue
			}

			assertKnown(t, c, args, document.Path+": "+command.Line)

			others++
		}
	}

	assert.Greater(t, gets, 8)
	assert.Greater(t, others, 5)
	t.Logf("%d gets, %d other commands", gets, others)
}

// assertKnown compares a command and its flags with the program's help.
func assertKnown(t *testing.T, c talosctl, args []string, where string) {
	t.Helper()

	// "-n NODE" and the like stand before the command's name.
	var name, flags []string

	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-n" || args[i] == "-e":
			i++
		case strings.HasPrefix(args[i], "-"):
			flags = append(flags, args[i])
		default:
			name = append(name, args[i])
		}
	}

	// With its arguments, because a subcommand has flags of its own.
	help := c.run(t, append(slices.Clone(name), "--help")...)
	// Of a command that it does not know it shows its own help.
	assert.Regexp(t, `(Usage:\s+talosctl `+name[0]+`\b|Aliases:\s+[^\n]*\b`+name[0]+`\b)`, help, where)

	for _, flag := range flags {
		assert.Contains(t, help, flag, where)
	}
}
