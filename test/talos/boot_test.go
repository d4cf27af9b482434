// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/image"
	"github.com/spegel-guard/spegel-guard/test/talos"
)

// crashLoop is a service that exits at every start, as a daemon does that rejects its configuration.
const crashLoop = `name: crash-loop
container:
  entrypoint: /spegel-guard
  args: [-no-such-flag]
depends:
  - service: cri
restart: always
`

// neverCreated is a service with a mount source that machined has to create on the read-only root. It is not below /var, which
// becomes writable when EPHEMERAL is mounted: on a slow machine the service starts only then.
const neverCreated = `name: never-created
container:
  entrypoint: /spegel-guard
  mounts:
    - {source: /usr/lib/no-such-folder, destination: /content, type: bind, options: [bind, ro]}
restart: always
`

// noTask is a service whose container can be created, and whose task cannot, because of its document.
const noTask = `name: no-task
container:
  entrypoint: /spegel-guard
depends:
  - service: cri
restart: always
`

// noTaskDocument has a file for a folder in which nothing can be created.
const noTaskDocument = `apiVersion: v1alpha1
kind: ExtensionServiceConfig
name: no-task
configFiles:
  - mountPath: /proc/no-such-file
    content: x
`

// TestBoot_BeforeCRIWithInvalidDocument starts the guard before the CRI and before EPHEMERAL is mounted, with a document that
// is invalid from the first boot on. Three more services show how Talos treats an extension that cannot start.
func TestBoot_BeforeCRIWithInvalidDocument(t *testing.T) {
	requirePrograms(t)
	t.Parallel() // with TestNode_RunsExtension, because a node uses one processor most of the time

	dir := t.TempDir()
	layouts := filepath.Join(dir, "guard")
	require.NoError(t, talos.GuardLayout(t.Context(), "../..", layouts))

	binary, service := parts(t, layouts)
	early, crash, never, task := filepath.Join(dir, "early"), filepath.Join(dir, "crash"), filepath.Join(dir, "never"), filepath.Join(dir, "task")
	files := extension.Files{"/spegel-guard": {Data: binary, Mode: 0o755}}

	require.NoError(t, talos.ServiceLayout(early, extension.Name, withoutDependencies(t, service), files))
	require.NoError(t, talos.ServiceLayout(crash, "crash-loop", []byte(crashLoop), files))
	require.NoError(t, talos.ServiceLayout(never, "never-created", []byte(neverCreated), files))
	require.NoError(t, talos.ServiceLayout(task, "no-task", []byte(noTask), files))

	n := start(t, talos.Options{
		WithoutGuard: true, Layouts: []string{early, crash, never, task},
		Documents: document(invalid) + "---\n" + noTaskDocument,
	})

	waitReady(t, n)

	for service, text := range map[string]string{
		"crash-loop": `failed: exit code 1 \(last log "spegel-guard: flag provided but not defined: -no-such-flag`,
		"no-task":    "failed to create task",
	} {
		eventually(t, n, "waiting for the failure of "+service, func(context.Context) error {
			if !regexp.MustCompile(`service\[ext-` + service + `\]\(Waiting\): Error running .*` + text).MatchString(n.Console()) {
				return errors.New("the service has not failed yet")
			}

			return nil
		})
	}

	t.Run("RunsBeforeTheCRI", func(t *testing.T) {
		// Talos' API is ready before the CRI on a fast machine.
		eventually(t, n, "waiting for the CRI", func(context.Context) error {
			if !strings.Contains(n.Console(), "service[cri](Running): Health check successful") {
				return errors.New("the CRI is not healthy yet")
			}

			return nil
		})

		// The container starts some seconds later: how many depends on the machine.
		order(t, n.Console(), "service[ext-spegel-guard](Preparing): Creating service runner", "service[cri](Running): Health check successful")
		eventually(t, n, "waiting for the guard", func(context.Context) error {
			if state := guardService(t, n).State; state != "Running" {
				return fmt.Errorf("its state is %s", state)
			}

			return nil
		})
	})

	// This is the process that has started before the CRI. On a slow machine it may start after EPHEMERAL is mounted.
	t.Run("SeesEphemeralMountedLater", func(t *testing.T) {
		const started = "service[ext-spegel-guard](Running): Started task"

		require.Equal(t, 1, strings.Count(n.Console(), started))

		mounted := regexp.MustCompile(`mounting "/dev/\w+" to "/var"`).FindStringIndex(n.Console())
		require.NotNil(t, mounted)
		t.Logf("the service has started before EPHEMERAL was mounted: %t", strings.Index(n.Console(), started) < mounted[0])
		eventually(t, n, "waiting for the disk", func(ctx context.Context) error {
			stats, err := spec[struct {
				Disk struct {
					Value float64 `yaml:"value"`
				} `yaml:"diskBytes"`
			}](ctx, n, "nodestats", "node")
			if err != nil {
				return err
			}

			const gib = 1 << 30
			if stats.Disk.Value < gib {
				return fmt.Errorf("the disk has %v bytes", stats.Disk.Value)
			}

			return nil
		})
	})

	t.Run("ReportsErrors", func(t *testing.T) {
		// Without the dependency the service starts before machined has the document, and Talos does not restart it for its
		// first document.
		_, err := n.Talosctl(t.Context(), "service", "ext-spegel-guard", "restart")
		require.NoError(t, err)

		eventually(t, n, "waiting for the diagnosis in the log", func(context.Context) error {
			lines := logs(t, n)
			if last := lines[len(lines)-1]; !strings.Contains(last, "interval") || !strings.Contains(last, "mode") {
				return fmt.Errorf("the last line is %s", last)
			}

			return nil
		})

		waitReady(t, n)

		config, err := spec[guardConfig](t.Context(), n, "guardconfigs", "active")
		require.NoError(t, err)
		assert.Equal(t, "observe", config.Mode)
		assert.Equal(t, "Running", guardService(t, n).State)
	})

	// docs/install.md describes this, and that the boot fails after BootTimeout. Talos regards a service as up when it has run once.
	t.Run("ServiceWithoutContainerBlocksBoot", func(t *testing.T) {
		assert.Equal(t, 70*time.Minute, constants.BootTimeout)
		order(t, n.Console(), "service[ext-never-created](Failed): Failed to create runner: mkdir /usr/lib/no-such-folder: read-only file system")
		bootstrap(t, n)

		from := len(n.Console())

		eventually(t, n, "waiting for machined to name the service that it waits for", func(context.Context) error {
			for line := range strings.Lines(n.Console()[from:]) {
				// The last line may not be complete yet.
				if _, waits, found := strings.Cut(line, "task startAllServices"); found && strings.HasSuffix(line, "\n") {
					assert.ElementsMatch(t, []string{"ext-never-created", "ext-no-task"}, waited(waits), waits)

					return nil
				}
			}

			return errors.New("machined has not named the service since then")
		})

		assertBooting(t, n)

		out, err := n.Talosctl(t.Context(), "service", "ext-never-created", "start")
		require.NoError(t, err)
		t.Log(out)
		eventually(t, n, "waiting for the second start to fail", func(context.Context) error {
			if !strings.Contains(n.Console(), "service[ext-never-created](Failed): Failed to run pre stage") {
				return errors.New("the service has not failed again")
			}

			return nil
		})
	})

	// The guard still runs when EPHEMERAL is unmounted, and must not prevent it.
	t.Run("LetsEphemeralUnmount", func(t *testing.T) {
		before := len(n.Console())

		(&scenario{node: n}).reboot(t)
		order(t, n.Console()[before:], "Unmounting Filesystem", "service[ext-spegel-guard](Finished)", talos.BootLine)
	})
}

// waited returns the services that a line of machined names as not up.
func waited(line string) []string {
	var services []string

	for _, match := range regexp.MustCompile(`"([^"]+)" to be "up"`).FindAllStringSubmatch(line, -1) {
		services = append(services, match[1])
	}

	return services
}

// parts unpacks the daemon and the service file from the extension's layout.
func parts(t *testing.T, layout string) (binary, service []byte) {
	t.Helper()

	built, err := image.ReadLayout(layout, talos.Architecture)
	require.NoError(t, err)

	dir := t.TempDir()
	require.NoError(t, image.Unpack(built, dir))

	binary, err = os.ReadFile(filepath.Join(dir, extension.RootfsFolder, extension.BinaryPath))
	require.NoError(t, err)
	service, err = os.ReadFile(filepath.Join(dir, extension.RootfsFolder, extension.ServicePath))
	require.NoError(t, err)

	return binary, service
}

// withoutDependencies removes the dependency on the CRI from the service file.
func withoutDependencies(t *testing.T, service []byte) []byte {
	t.Helper()

	var parsed services.Spec

	require.NoError(t, yaml.Load(service, &parsed, yaml.WithKnownFields()))
	require.NotEmpty(t, parsed.Depends)

	before, after, found := bytes.Cut(service, []byte("depends:\n  - service: cri\n"))
	require.True(t, found)

	return append(bytes.Clone(before), after...)
}
