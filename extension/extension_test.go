// SPDX-License-Identifier: MPL-2.0

package extension_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/incident"
)

func TestServiceFile_IsValid(t *testing.T) {
	content, err := os.ReadFile(extension.Name + ".yaml")
	require.NoError(t, err)

	var spec services.Spec

	require.NoError(t, yaml.Load(content, &spec, yaml.WithKnownFields()))
	require.NoError(t, spec.Validate())
	assert.Equal(t, extension.Name, spec.Name)
	assert.Equal(t, []services.Dependency{{Service: "cri"}}, spec.Depends,
		"EPHEMERAL is mounted before the CRI starts; a dependency on a configuration would block the boot without one")

	// Talos expects the files at these paths.
	assert.Equal(t, filepath.Join(constants.ExtensionServiceConfigPath, spec.Name+".yaml"), extension.ServicePath)
	assert.Equal(t, filepath.Join(constants.ExtensionServiceRootfsPath, spec.Name)+spec.Container.Entrypoint, extension.BinaryPath)
	assert.Equal(t, filepath.Join(constants.ExtensionSPDXPath, spec.Name+".spdx.json"), extension.SBOMPath)

	// Only the hierarchy and the guard's folder are writable.
	for _, mount := range spec.Container.Mounts {
		writable := mount.Source == "/sys/fs/cgroup" || mount.Source == "/run/spegel-guard"
		assert.Equal(t, !writable, slices.Contains(mount.Options, "ro"), mount.Source)
	}

	assert.False(t, spec.Container.Security.WriteableRootfs)
	assert.False(t, spec.Container.Security.WriteableSysfs)
}

// sourcesThatExist are in place before Talos starts any service: file systems of the kernel
// (siderolabs/talos internal/pkg/mount/v3/helpers.go, Pseudo), and the mount point of EPHEMERAL, a folder of the
// read-only root (siderolabs/talos Dockerfile).
var sourcesThatExist = []string{"/proc", "/sys/fs/cgroup", "/var"}

// writableRoots are tmpfs from early in the boot (siderolabs/talos internal/pkg/mount/v3/helpers.go, PseudoLate).
var writableRoots = []string{"/run/", "/system/"}

// TestServiceFile_MountSourcesCanBeCreated: machined creates missing sources (siderolabs/talos
// internal/app/machined/pkg/system/services/extension.go, Runner). A source that it cannot create, on a file system that
// may be read-only, fails the service permanently and blocks the boot.
func TestServiceFile_MountSourcesCanBeCreated(t *testing.T) {
	content, err := os.ReadFile(extension.Name + ".yaml")
	require.NoError(t, err)

	var spec services.Spec

	require.NoError(t, yaml.Load(content, &spec, yaml.WithKnownFields()))
	require.NotEmpty(t, spec.Container.Mounts)

	destinations := map[string]string{}

	for _, mount := range spec.Container.Mounts {
		t.Run(mount.Source, func(t *testing.T) {
			creatable := slices.ContainsFunc(writableRoots, func(root string) bool { return strings.HasPrefix(mount.Source, root) })
			assert.True(t, creatable || slices.Contains(sourcesThatExist, mount.Source), "machined may have to create it on a read-only file system")
		})

		destinations[mount.Source] = mount.Destination

		// File systems that are mounted below /var later must appear. Those mounted at the start must be read-only, too.
		if mount.Source == "/var" {
			assert.Subset(t, mount.Options, []string{"rbind", "rslave", "rro"})
		}
	}

	// The flags of the daemon name the mounts.
	assert.Contains(t, spec.Container.Args, "-proc="+destinations["/proc"])
	assert.Contains(t, spec.Container.Args, "-content="+destinations["/var"]+"/lib/containerd/io.containerd.content.v1.content")
}

// TestPatches_AreMachineConfigurations parses each patch with Talos' configuration loader, and its document with pkg/config.
func TestPatches_AreMachineConfigurations(t *testing.T) {
	files, err := filepath.Glob("patches/*.yaml")
	require.NoError(t, err)

	parsed := map[string]config.Config{}

	for _, file := range files {
		// The ingress firewall is tested with the examples (examples/install).
		if filepath.Base(file) == "firewall.yaml" {
			continue
		}

		provider, err := configloader.NewFromFile(file)
		require.NoError(t, err, file)

		documents := provider.ExtensionServiceConfigs()
		require.Len(t, documents, 1, file)
		assert.Equal(t, extension.Name, documents[0].Name())

		mounted := map[string]string{}

		for _, mount := range documents[0].ConfigFiles() {
			mounted[mount.MountPath()] = mount.Content()
		}

		cfg, err := config.Parse([]byte(mounted[config.Path]))
		require.NoError(t, err, file)

		// The patch has the files that the document names.
		if cfg.API.TLS.Source == config.TLSFiles {
			assert.Contains(t, mounted, cfg.API.TLS.CA)
			assert.Contains(t, mounted, cfg.API.TLS.Cert)
			assert.Contains(t, mounted, cfg.API.TLS.Key)
		}

		parsed[strings.TrimSuffix(filepath.Base(file), ".yaml")] = cfg
	}

	require.Len(t, parsed, 4)
	assert.Equal(t, config.Default(), parsed["default"])
	assert.Equal(t, config.ModeObserve, parsed["observe"].Mode)
	assert.Less(t, parsed["aggressive"].Ceiling.CPU.Millicores, config.Default().Ceiling.CPU.Millicores)
	assert.Equal(t, config.TLSFiles, parsed["custom-tls"].API.TLS.Source)

	recordings, err := incident.Recordings()
	require.NoError(t, err)

	for name, cfg := range parsed {
		t.Run(name, func(t *testing.T) { assertSparesPeers(t, cfg, recordings) })
	}
}

// assertSparesPeers: no enforced rule of an example is below what a node used that is not a culprit.
func assertSparesPeers(t *testing.T, cfg config.Config, recordings []incident.Recording) {
	t.Helper()

	for _, rule := range cfg.Rules {
		if rule.Mode == config.ModeObserve {
			continue
		}

		threshold := rule.Threshold.Value + rule.Credit.Earn.Value

		for _, recording := range recordings {
			for _, node := range recording.Nodes {
				for _, i := range node.Intervals {
					used, known := map[config.Signal]float64{config.SignalCPU: i.CPU, config.SignalNetworkTX: i.TX}[rule.Signal]
					require.True(t, known, "%s: no usage of %s to compare with", rule.Name, rule.Signal)
					assert.False(t, node.Role != incident.Culprit && used >= threshold, "%s would throttle %s of %s", rule.Name, node.Name, recording.Name)
				}
			}
		}
	}
}
