// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/talos"
)

// TestNode_RunsExtension goes through the life of the extension on one node, because a boot takes half a minute. The order is that of
// README: a node without the extension gets the document, and then the image.
func TestNode_RunsExtension(t *testing.T) {
	requirePrograms(t)
	t.Parallel()

	s := &scenario{node: start(t, talos.Options{WithoutGuard: true})}

	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"DocumentBeforeService", s.documentBeforeService},
		{"Upgrade", s.upgrade},
		{"Installed", s.installed},
		{"BootCompletes", s.bootCompletes},
		{"Container", s.container},
		{"CertificatesOfApid", s.certificates},
		{"Roles", s.roles},
		{"FirstDocument", s.firstDocument},
		{"DoctorPasses", s.doctorPasses},
		{"ClosedLoop", s.closedLoop},
		{"StopRestores", s.stopRestores},
		{"RestartInsideHoldReapplies", s.restartInsideHold},
		{"ChangedDocument", s.changedDocument},
		{"InvalidDocument", s.invalidDocument},
		{"Hostname", s.hostname},
		{"SharedAddress", s.sharedAddress},
		{"Firewall", s.firewall},
		{"RotateCA", s.rotateCA},
		{"Reboot", s.rebootsInOrder},
	} {
		require.True(t, t.Run(step.name, step.run), "the steps build on each other")
	}
}

// scenario has the state that the steps share.
type scenario struct {
	node *talos.Node
	pod  talos.Pod
	// booted is where the console has the first boot with the extension.
	booted int
}

const podName = "spegel-x7k2p"

// installed: the image made by Talos' imager has the extension, and its service runs after a cold boot.
func (s *scenario) installed(t *testing.T) {
	assert.Contains(t, talosctl(t, s.node, "get", "extensions"), "spegel-guard")

	service := guardService(t, s.node)
	assert.Equal(t, "Running", service.State)
	assert.NotEmpty(t, service.process(), service.Events)
	assert.Contains(t, strings.Join(logs(t, s.node), "\n"), `"msg":"starting spegel-guard"`)

	// The service starts after the CRI is healthy, and so after EPHEMERAL is mounted.
	console := s.node.Console()[s.booted:]
	order(t, console, "service[cri](Running): Health check successful", "service[ext-spegel-guard](Running)")
	assert.False(t, strings.Contains(console, "service[ext-spegel-guard](Failed)"), "the service failed before it ran")

	// The content store is on EPHEMERAL, not a folder of the squashfs below it.
	eventually(t, s.node, "waiting for the disk of the content store", func(ctx context.Context) error {
		type reading struct {
			Value      float64 `yaml:"value"`
			Provenance string  `yaml:"provenance"`
		}

		stats, err := spec[struct {
			Disk reading `yaml:"diskBytes"`
		}](ctx, s.node, "nodestats", "node")
		if err != nil {
			return err
		}

		const gib = 1 << 30
		if stats.Disk.Provenance != "measured" || stats.Disk.Value < gib {
			return fmt.Errorf("the disk has %v bytes (%s)", stats.Disk.Value, stats.Disk.Provenance)
		}

		return nil
	})
}

// changedDocument: Talos restarts the service for every other document.
func (s *scenario) changedDocument(t *testing.T) {
	before := guardService(t, s.node).process()

	s.patch(t, document(strings.Replace(quick, "500ms", "250ms", 1)))
	s.waitConfig(t, config.Path, "enforce", "250ms")
	eventually(t, s.node, "waiting for the restart", func(context.Context) error {
		if guardService(t, s.node).process() == before {
			return errors.New("the service has not been restarted")
		}

		return nil
	})
	waitReady(t, s.node)
}

// invalidDocument: the service keeps running in mode observe and reports the errors in the condition, the log and doctor.
func (s *scenario) invalidDocument(t *testing.T) {
	s.patch(t, document(invalid))

	eventually(t, s.node, "waiting for the condition", func(ctx context.Context) error {
		condition, err := spec[struct {
			Reason  string `yaml:"reason"`
			Message string `yaml:"message"`
		}](ctx, s.node, "conditions", "config")

		switch {
		case err != nil:
			return err
		case condition.Reason != "BadConfig" || !strings.Contains(condition.Message, "interval") || !strings.Contains(condition.Message, "mode"):
			return fmt.Errorf("condition config: %s: %s", condition.Reason, condition.Message)
		default:
			return nil
		}
	})

	eventually(t, s.node, "waiting for observe", func(ctx context.Context) error {
		active, err := spec[guardConfig](ctx, s.node, "guardconfigs", "active")
		if err == nil && active.Mode != "observe" {
			err = fmt.Errorf("the mode is %s", active.Mode)
		}

		return err
	})

	s.waitCheck(t, "config", "failed")
	assert.Equal(t, "Running", guardService(t, s.node).State)

	s.patch(t, document(quick))
	s.waitConfig(t, config.Path, "enforce", "500ms")
	s.waitCheck(t, "config", "ok")
}

// waitCheck waits until a check of doctor has a state. A check that is not ok must have a fix.
func (s *scenario) waitCheck(t *testing.T, name, state string) {
	t.Helper()

	eventually(t, s.node, "waiting for doctor", func(context.Context) error {
		found := doctor(t, s.node)[name]
		if found.State != state || (state != "ok") != (found.Fix != "") {
			return fmt.Errorf("doctor: %+v", found)
		}

		return nil
	})
}

// hostname: the UTS namespace of the service keeps the name of its start, so the guard must follow machined.
func (s *scenario) hostname(t *testing.T) {
	const renamed = "renamed-node"

	s.patch(t, "apiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: "+renamed+"\n")

	eventually(t, s.node, "waiting for the new name", func(ctx context.Context) error {
		c, err := client.New(ctx, client.WithConfigFromFile(s.node.Talosconfig), client.WithEndpoints(s.node.Guard))
		if err != nil {
			return err
		}

		defer c.Close()

		version, err := c.Version(ctx)
		if err != nil {
			return err
		}

		if name := version.GetMessages()[0].GetMetadata().GetHostname(); name != renamed {
			return fmt.Errorf("the guard answers as %q", name)
		}

		return nil
	})
}

// doctorPasses: on a healthy node every check of doctor is ok or skipped, except that the pod has no limits, as in the incident.
func (s *scenario) doctorPasses(t *testing.T) {
	s.runPod(t)

	var bad []check

	// Rates are available after the second sample.
	eventually(t, s.node, "waiting for doctor to pass", func(context.Context) error {
		bad = nil

		checks := doctor(t, s.node)
		if len(checks) == 0 {
			return fmt.Errorf("doctor checked nothing")
		}

		for _, c := range checks {
			passes := c.State == "ok" || c.State == "skipped"

			if !passes && (c.Name != "limits" || c.State != "warning" || c.Fix == "") {
				bad = append(bad, c)
			}
		}

		if len(bad) > 0 {
			return fmt.Errorf("doctor: %+v", bad)
		}

		return nil
	})
}

// quick is a configuration with seconds instead of minutes.
const quick = `mode: enforce
interval: 500ms
rules:
  - {name: SpegelHighCPU, signal: cpu, threshold: 200m, for: 5s, window: 2s}
ceiling: {cpu: 150m, floor: 100m, hold: 2s, releaseAfter: 2s, probe: 0s}
`

// invalid is a configuration with errors in two fields.
const invalid = "interval: soon\nmode: enforced\n"

// document wraps a configuration for the guard, as "spegelguardctl config generate" does.
func document(configuration string) string {
	var indented strings.Builder

	for line := range strings.Lines("apiVersion: v1alpha1\nkind: SpegelGuardConfig\n" + configuration) {
		indented.WriteString("      " + line)
	}

	return "apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: spegel-guard\nconfigFiles:\n" +
		"  - mountPath: /usr/local/etc/spegel-guard/config.yaml\n    content: |\n" + indented.String()
}

// patch applies a patch to the machine configuration, as in README.
func (s *scenario) patch(t *testing.T, document string) {
	t.Helper()

	file := filepath.Join(t.TempDir(), "patch.yaml")
	require.NoError(t, os.WriteFile(file, []byte(document), 0o600))
	talosctl(t, s.node, "patch", "mc", "-p", "@"+file)
}

type guardConfig struct {
	Mode     string `yaml:"mode"`
	Source   string `yaml:"source"`
	Document string `yaml:"document"`
}

// waitConfig waits until a configuration is in force.
func (s *scenario) waitConfig(t *testing.T, source, mode, interval string) {
	t.Helper()

	eventually(t, s.node, "waiting for the configuration", func(ctx context.Context) error {
		active, err := spec[guardConfig](ctx, s.node, "guardconfigs", "active")

		switch {
		case err != nil:
			return err
		case active.Source != source || active.Mode != mode || !strings.Contains(active.Document, "interval: "+interval):
			return fmt.Errorf("in force: source %q, mode %q:\n%s", active.Source, active.Mode, active.Document)
		default:
			return nil
		}
	})
}

// order asserts that the output has the texts in this order.
func order(t *testing.T, console string, texts ...string) {
	t.Helper()

	rest := console

	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		require.True(t, found, "the output has no %q after the texts before it", text)

		rest = after
	}
}
