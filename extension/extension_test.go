package extension_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blang/semver/v4"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"github.com/siderolabs/talos/pkg/machinery/version"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// TestTalosTakesTheExtension lays the extension out and puts it before Talos' own loader and checks.
func TestTalosTakesTheExtension(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(t.TempDir(), "binary")
	require.NoError(t, os.WriteFile(binary, []byte("binary"), 0o755))

	files := extension.Files(binary, "..")
	files["/../manifest.yaml"] = "../manifest.yaml"

	for target, source := range files {
		content, err := os.ReadFile(source)
		require.NoError(t, err)

		name := filepath.Join(dir, "rootfs", target)
		if strings.HasPrefix(target, "/..") {
			name = filepath.Join(dir, filepath.Base(target))
		}

		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, content, 0o644))
	}

	loaded, err := extensions.Load(dir)
	require.NoError(t, err)
	assert.Equal(t, extension.Name, loaded.Manifest.Metadata.Name)

	for _, talos := range []string{"1.12.0", "1.13.4", version.Tag} {
		parsed, err := semver.ParseTolerant(talos)
		require.NoError(t, err)
		assert.NoError(t, loaded.Validate(extensions.WithValidateConstraints(), extensions.WithValidateContents(),
			extensions.WithTalosVersion(&parsed)), talos)
	}

	old := semver.MustParse("1.11.9")
	assert.Error(t, loaded.Validate(extensions.WithValidateConstraints(), extensions.WithTalosVersion(&old)), "the check can fail")
}

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

	// Nothing but the hierarchy and the guard's own folder may be written to.
	for _, mount := range spec.Container.Mounts {
		writable := mount.Source == "/sys/fs/cgroup" || mount.Source == "/run/spegel-guard"
		assert.Equal(t, !writable, slices.Contains(mount.Options, "ro"), mount.Source)
	}

	assert.False(t, spec.Container.Security.WriteableRootfs)
	assert.False(t, spec.Container.Security.WriteableSysfs)
}

// TestTheExampleIsAMachineConfiguration puts the example through Talos' configuration loader, and the
// document in it through ours.
func TestTheExampleIsAMachineConfiguration(t *testing.T) {
	provider, err := configloader.NewFromFile("machine-config.yaml")
	require.NoError(t, err)

	documents := provider.ExtensionServiceConfigs()
	require.Len(t, documents, 1)
	assert.Equal(t, extension.Name, documents[0].Name())
	require.Len(t, documents[0].ConfigFiles(), 1)
	assert.Equal(t, config.Path, documents[0].ConfigFiles()[0].MountPath())

	parsed, err := config.Parse([]byte(documents[0].ConfigFiles()[0].Content()))
	require.NoError(t, err)
	assert.Equal(t, config.ModeObserve, parsed.Mode)
}
