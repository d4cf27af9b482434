// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/test/talos"
	"github.com/spegel-guard/spegel-guard/test/vm"
)

// patience is the deadline of every wait. It is long, because emulated machines are slow.
const patience = 15 * time.Minute

// ctlEnv names the environment variable with the path of spegelguardctl.
const ctlEnv = "SPEGEL_GUARD_CTL"

// repeatedEnv is set in the environment of a repeated run.
const repeatedEnv = "SPEGEL_GUARD_TALOS_REPEATED"

// faulted counts failed tests with a fault of the emulator on the console of their node, failed those without.
var faulted, failed atomic.Int64

// TestMain runs the tests once more if a fault of the emulator is on the console of each node whose test failed after its start. The process starts
// anew, because a failed test stays failed within it.
func TestMain(m *testing.M) {
	code := m.Run()

	if code != 0 && faulted.Load() > 0 && failed.Load() == 0 && os.Getenv(repeatedEnv) == "" {
		fmt.Fprintln(os.Stderr, "talos: the emulator ran a breakpoint of the kernel's code patching (attempt 1 of 2); running the tests again")

		err := syscall.Exec(os.Args[0], os.Args, append(os.Environ(), repeatedEnv+"=1"))
		fmt.Fprintf(os.Stderr, "talos: failed to run the tests again: %v\n", err)
	}

	os.Exit(code)
}

// requirePrograms skips a test if the programs of Talos have not been built.
func requirePrograms(t *testing.T) {
	t.Helper()

	if os.Getenv(talos.ProgramsEnv) == "" {
		t.Skip(talos.ErrNoPrograms)
	}
}

// start boots a node for a test.
func start(t *testing.T, options talos.Options) *talos.Node {
	t.Helper()

	requirePrograms(t)

	options.Tree = "../.."

	n, err := talos.Start(t.Context(), options)
	if err != nil {
		failed.Add(1)
	}

	require.NoError(t, err)

	t.Cleanup(func() {
		if t.Failed() {
			console := n.Console()
			t.Logf("--- console ---\n%s", console)

			if vm.EmulatorFault([]byte(console)) {
				faulted.Add(1)
			} else {
				failed.Add(1)
			}
		}

		require.NoError(t, n.Stop())
	})

	return n
}

// eventually repeats a check on the node until it succeeds.
func eventually(t *testing.T, n *talos.Node, what string, check func(ctx context.Context) error) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	require.NoError(t, n.WaitFor(ctx, what, check))
}

// waitReady waits until the guard and apid answer the unmodified talosctl, whichever is first.
func waitReady(t *testing.T, n *talos.Node) {
	t.Helper()

	eventually(t, n, "waiting for the guard", func(ctx context.Context) error {
		_, err := n.GuardTalosctl(ctx, "get", "spegel")

		return err
	})
	eventually(t, n, "waiting for apid", func(ctx context.Context) error {
		_, err := n.Talosctl(ctx, "version")

		return err
	})
}

// talosctl runs the unmodified talosctl against apid.
func talosctl(t *testing.T, n *talos.Node, args ...string) string {
	t.Helper()

	out, err := n.Talosctl(t.Context(), args...)
	require.NoError(t, err)

	return out
}

// spec reads the spec of a resource of the guard, as the unmodified talosctl prints it.
func spec[T any](ctx context.Context, n *talos.Node, kind, id string) (T, error) {
	var answer struct {
		Spec T `yaml:"spec"`
	}

	out, err := n.GuardTalosctl(ctx, "get", kind, id, "-o", "yaml")
	if err != nil {
		return answer.Spec, err
	}

	err = yaml.Unmarshal([]byte(out), &answer)

	return answer.Spec, err
}

// service is the state of the extension's service, from talosctl.
type service struct {
	State  string
	Events []string
}

func guardService(t *testing.T, n *talos.Node) service {
	t.Helper()

	var s service

	for line := range strings.Lines(talosctl(t, n, "service", "ext-spegel-guard")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")

		switch {
		case key == "STATE":
			s.State = strings.TrimSpace(value)
		case strings.Contains(line, "]: "):
			s.Events = append(s.Events, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "EVENTS")))
		}
	}

	return s
}

// process returns the event of the newest start of the service, which names its process. Talos keeps only the newest
// events, so they cannot be counted.
func (s service) process() string {
	for _, event := range s.Events {
		if _, started, found := strings.Cut(event, "Started task "); found {
			name, _, _ := strings.Cut(started, ")")

			return name
		}
	}

	return ""
}

// logs returns the log lines of the service.
func logs(t *testing.T, n *talos.Node) []string {
	t.Helper()

	return strings.Split(strings.TrimSpace(talosctl(t, n, "logs", "ext-spegel-guard")), "\n")
}

// ctl runs spegelguardctl against the guard and returns its output. The exit code is ignored.
func ctl(t *testing.T, n *talos.Node, args ...string) string {
	t.Helper()

	out, err := tryCtl(t, n, args...)

	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit)
	}

	return out
}

// tryCtl runs spegelguardctl against the guard. The error has what it printed on standard error.
func tryCtl(t *testing.T, n *talos.Node, args ...string) (string, error) {
	t.Helper()

	program := os.Getenv(ctlEnv)
	require.NotEmpty(t, program, "set "+ctlEnv)

	cmd := exec.CommandContext(t.Context(), program, append([]string{"--talosconfig", n.Talosconfig, "-n", n.Guard, "--timeout", "2m"}, args...)...)

	var stderr strings.Builder

	cmd.Stderr = &stderr

	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("spegelguardctl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}

	return string(out), err
}

// check is a check of doctor.
type check struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Message string `json:"message"`
	Fix     string `json:"fix"`
}

func doctor(t *testing.T, n *talos.Node) map[string]check {
	t.Helper()

	checks := map[string]check{}

	for decoder := json.NewDecoder(strings.NewReader(ctl(t, n, "doctor", "-o", "json"))); decoder.More(); {
		var answer struct {
			Checks []check `json:"checks"`
		}

		require.NoError(t, decoder.Decode(&answer))

		for _, c := range answer.Checks {
			checks[c.Name] = c
		}
	}

	return checks
}
