// SPDX-License-Identifier: MPL-2.0

package image_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/image"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

const catalogue = "../catalogue/"

// pkg is what siderolabs/bldr reads of pkg.yaml.
type pkg struct {
	Name         string
	Variant      string
	Shell        string
	Dependencies []map[string]string
	Steps        []struct {
		Env        map[string]string
		CachePaths []string `yaml:"cachePaths"`
		Sources    []struct{ URL, Destination, SHA256, SHA512 string }
		Network    string
		Prepare    []string
		Build      []string
		Install    []string
		Test       []string
		SBOM       struct {
			OutputPath string `yaml:"outputPath"`
			Version    string
			Licenses   []string
		}
	}
	Finalize []struct{ From, To string }
}

// rendered fills in a file of the catalogue, as bldr does with the variables of its folder and of the catalogue.
func rendered(t *testing.T, name string, values map[string]string) []byte {
	t.Helper()

	parsed, err := template.New(name).Option("missingkey=error").ParseFiles(catalogue + name)
	require.NoError(t, err)

	var text bytes.Buffer
	require.NoError(t, parsed.Execute(&text, values))

	return text.Bytes()
}

func catalogueValues(t *testing.T) (map[string]string, extensions.Metadata) {
	t.Helper()

	manifest, err := extension.ReadManifest(tree)
	require.NoError(t, err)

	values := map[string]string{
		"SPEGEL_GUARD_VERSION": strings.TrimPrefix(manifest.Version, "v"), "SPEGEL_GUARD_SHA256": "a", "SPEGEL_GUARD_SHA512": "b",
	}

	require.NoError(t, yaml.Load(rendered(t, "vars.yaml", values), &values))

	return values, manifest
}

// TestCatalogue_RendersOurManifest: a description begins with the tier in the catalogue.
func TestCatalogue_RendersOurManifest(t *testing.T) {
	values, manifest := catalogueValues(t)

	var got extensions.Manifest
	require.NoError(t, yaml.Load(rendered(t, "manifest.yaml.tmpl", values), &got, yaml.WithKnownFields()))

	description, ok := strings.CutPrefix(got.Metadata.Description, "[contrib] ")
	assert.True(t, ok, got.Metadata.Description)

	got.Metadata.Description = description
	assert.Equal(t, "v1alpha1", got.Version)
	assert.Equal(t, manifest, got.Metadata)
}

// TestCatalogue_InstallsTheFilesOfOurImage runs the steps of pkg.yaml on an archive of the source, with the toolchain of our image. Only
// the bill of materials differs: bldr writes one of its own to the same path.
func TestCatalogue_InstallsTheFilesOfOurImage(t *testing.T) {
	values, manifest := catalogueValues(t)

	var p pkg
	require.NoError(t, yaml.Load(rendered(t, "pkg.yaml", values), &p, yaml.WithKnownFields()))
	assert.Equal(t, extension.Name, p.Name)

	made, _ := built(t)
	ours := t.TempDir()
	require.NoError(t, image.Unpack(made, ours))

	dir := t.TempDir()
	source := filepath.Join(dir, "spegel-guard-"+values["SPEGEL_GUARD_VERSION"])
	copySource(t, source)

	bill := ""

	for _, step := range p.Steps {
		for _, from := range step.Sources {
			assert.Contains(t, from.URL, "/"+manifest.Version+".tar.gz")
			run(t, dir, "tar -czf "+from.Destination+" "+filepath.Base(source))
		}

		for _, commands := range [][]string{step.Prepare, step.Build, step.Install} {
			for _, command := range commands {
				if strings.Contains(command, "go mod download") {
					continue // the modules are those of this test
				}

				run(t, dir, strings.ReplaceAll(command, " /rootfs", " "+dir+"/rootfs"))
			}
		}

		if step.SBOM.OutputPath != "" {
			bill = strings.TrimPrefix(step.SBOM.OutputPath, "/rootfs")
		}
	}

	assert.Equal(t, extension.SBOMPath, bill)

	theirs := files(t, os.DirFS(filepath.Join(dir, "rootfs")))
	want := files(t, os.DirFS(filepath.Join(ours, "rootfs")))
	delete(want, strings.TrimPrefix(extension.SBOMPath, "/"))

	assert.Equal(t, names(want), names(theirs))

	for name, file := range want {
		assert.True(t, file.data == theirs[name].data, "content of %s", name)
		assert.Equal(t, file.mode, theirs[name].mode, name)
	}

	assert.Equal(t, []struct{ From, To string }{{"/rootfs", "/rootfs"}, {"/pkg/manifest.yaml", "/"}}, p.Finalize)
}

// TestCatalogue_ReadmeHasAValidDocument parses the example with Talos and with our configuration.
func TestCatalogue_ReadmeHasAValidDocument(t *testing.T) {
	text, err := os.ReadFile(catalogue + "README.md")
	require.NoError(t, err)

	_, block, _ := strings.Cut(string(text), "```yaml\n")
	block, _, _ = strings.Cut(block, "```")

	provider, err := configloader.NewFromBytes([]byte(block))
	require.NoError(t, err)
	require.Len(t, provider.ExtensionServiceConfigs(), 1)

	document := provider.ExtensionServiceConfigs()[0]
	require.Equal(t, extension.Name, document.Name())
	require.Equal(t, config.Path, document.ConfigFiles()[0].MountPath())

	cfg, err := config.Parse([]byte(document.ConfigFiles()[0].Content()))
	require.NoError(t, err)
	assert.Equal(t, config.ModeObserve, cfg.Mode)
}

// run runs a command as bldr does, with the settings of the image's build that are not the command's.
func run(t *testing.T, dir, command string) {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=",
		"GOWORK=off", "GOTOOLCHAIN="+toolchain(t))

	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", command, out)
}

func toolchain(t *testing.T) string {
	t.Helper()

	mod, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	require.NoError(t, err)

	_, line, ok := strings.Cut(string(mod), "\ntoolchain ")
	require.True(t, ok)

	line, _, _ = strings.Cut(line, "\n")

	return line
}

type installed struct {
	data string
	mode fs.FileMode
}

// files returns the regular files of a folder by path.
func files(t *testing.T, root fs.FS) map[string]installed {
	t.Helper()

	all := map[string]installed{}

	require.NoError(t, fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}

		data, err := fs.ReadFile(root, path)
		require.NoError(t, err)

		info, err := entry.Info()
		require.NoError(t, err)

		all[path] = installed{string(data), info.Mode()}

		return nil
	}))

	return all
}

func names(all map[string]installed) []string {
	paths := make([]string, 0, len(all))
	for path := range all {
		paths = append(paths, path)
	}

	slices.Sort(paths)

	return paths
}
