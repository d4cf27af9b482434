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
)

func TestTheServiceFileIsTalos(t *testing.T) {
	content, err := os.ReadFile(extension.Name + ".yaml")
	require.NoError(t, err)

	var spec services.Spec

	require.NoError(t, yaml.Load(content, &spec, yaml.WithKnownFields()))
	require.NoError(t, spec.Validate())
	assert.Equal(t, extension.Name, spec.Name)
	assert.Empty(t, spec.Depends, "a dependency on a configuration would block the start without one")

	// Where Talos looks.
	assert.Equal(t, filepath.Join(constants.ExtensionServiceConfigPath, spec.Name+".yaml"), extension.ServicePath)
	assert.Equal(t, filepath.Join(constants.ExtensionServiceRootfsPath, spec.Name)+spec.Container.Entrypoint, extension.BinaryPath)
	assert.Equal(t, filepath.Join(constants.ExtensionSPDXPath, spec.Name+".spdx.json"), extension.SBOMPath)

	// Nothing but the hierarchy and the guard's own folder may be written to.
	for _, mount := range spec.Container.Mounts {
		writable := mount.Source == "/sys/fs/cgroup" || mount.Source == "/run/spegel-guard"
		assert.Equal(t, !writable, slices.Contains(mount.Options, "ro"), mount.Source)
	}

	assert.False(t, spec.Container.Security.WriteableRootfs)
	assert.False(t, spec.Container.Security.WriteableSysfs)
}

// TestThePatchesAreMachineConfigurations puts each through Talos' configuration loader, and the document in it
// through ours.
func TestThePatchesAreMachineConfigurations(t *testing.T) {
	files, err := filepath.Glob("patches/*.yaml")
	require.NoError(t, err)

	parsed := map[string]config.Config{}

	for _, file := range files {
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

		// What the document names is there.
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
}
