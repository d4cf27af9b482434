// SPDX-License-Identifier: MPL-2.0

//go:build linux

package image_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/blang/semver/v4"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/siderolabs/talos/pkg/machinery/version"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/image"
	"github.com/spegel-guard/spegel-guard/extension/sbom"
)

const tree = "../.."

// builtOnce builds the image once for all tests.
var builtOnce = sync.OnceValues(func() (v1.Image, error) {
	return image.Build(context.Background(), runtime.GOARCH, image.Options{Tree: tree})
})

// built returns the image of this machine's architecture and the manifest.
func built(t *testing.T) (v1.Image, extensions.Metadata) {
	t.Helper()

	manifest, err := extension.ReadManifest(tree)
	require.NoError(t, err)

	made, err := builtOnce()
	require.NoError(t, err)

	return made, manifest
}

// unpacked writes the image as an OCI layout and unpacks that into a folder, as the imager does.
func unpacked(t *testing.T, made v1.Image, manifest extensions.Metadata) string {
	t.Helper()

	index, err := image.Index(manifest, made)
	require.NoError(t, err)
	layout := filepath.Join(t.TempDir(), "oci")
	require.NoError(t, image.WriteLayout(layout, index))

	read, err := image.ReadLayout(layout, runtime.GOARCH)
	require.NoError(t, err)
	require.NoError(t, validate.Image(read))

	_, err = image.ReadLayout(layout, "riscv64")
	require.ErrorContains(t, err, "no image for riscv64")

	dir := t.TempDir()
	require.NoError(t, image.Unpack(read, dir))

	return dir
}

// TestImage_IsAcceptedByTalos checks the image with Talos' loader.
func TestImage_IsAcceptedByTalos(t *testing.T) {
	made, manifest := built(t)
	dir := unpacked(t, made, manifest)

	loaded, err := extensions.Load(dir)
	require.NoError(t, err)
	assert.Equal(t, manifest, loaded.Manifest.Metadata)

	for _, talos := range []string{"1.12.0", "1.13.4", "1.14.0", version.Tag} {
		parsed, err := semver.ParseTolerant(talos)
		require.NoError(t, err)
		assert.NoError(t, loaded.Validate(extensions.WithValidateConstraints(), extensions.WithValidateContents(),
			extensions.WithTalosVersion(&parsed)), talos)
	}

	old := semver.MustParse("1.11.9")
	assert.Error(t, loaded.Validate(extensions.WithValidateConstraints(), extensions.WithTalosVersion(&old)), "an older Talos is accepted")

	// The image has exactly these files.
	var files []string

	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, dir))
		}

		return err
	}))
	assert.Equal(t, []string{
		extension.ManifestFile, extension.RootfsFolder + extension.ServicePath, extension.RootfsFolder + extension.BinaryPath,
		extension.RootfsFolder + extension.LicencePath, extension.RootfsFolder + extension.SBOMPath,
	}, files)

	// The binary prints its version and validates documents.
	binary := filepath.Join(dir, extension.RootfsFolder, extension.BinaryPath)

	out, err := exec.CommandContext(t.Context(), binary, "version").CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, manifest.Version+"\n", string(out))

	document := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(document, []byte("mode: kill\ninterval: 5ms\n"), 0o600))

	out, err = exec.CommandContext(t.Context(), binary, "config", "validate", document).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), `line 1: invalid mode`)
	assert.Contains(t, string(out), `line 2: invalid interval`)
	assert.Contains(t, string(out), "2 mistakes")

	annotations := func(m interface{ Manifest() (*v1.Manifest, error) }) map[string]string {
		manifest, err := m.Manifest()
		require.NoError(t, err)

		return manifest.Annotations
	}(made)
	assert.Equal(t, manifest.Version, annotations["org.opencontainers.image.version"])
	assert.Equal(t, "MPL-2.0", annotations["org.opencontainers.image.licenses"])
}

// TestBuild_ListsModulesInSBOM: the bill of materials has every linked module with a licence.
func TestBuild_ListsModulesInSBOM(t *testing.T) {
	made, manifest := built(t)
	dir := unpacked(t, made, manifest)

	file, err := os.Open(filepath.Join(dir, extension.RootfsFolder, extension.SBOMPath))
	require.NoError(t, err)

	defer file.Close()

	document, err := spdxjson.Read(file)
	require.NoError(t, err)

	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", filepath.Join(dir, extension.RootfsFolder, extension.BinaryPath)).Output()
	require.NoError(t, err)

	linked := 0

	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "dep" {
			continue
		}

		linked++

		found := false

		for _, p := range document.Packages {
			if p.PackageName == fields[1] && p.PackageVersion == fields[2] {
				found = true

				assert.NotEqual(t, sbom.NoAssertion, p.PackageLicenseDeclared, p.PackageName)
			}
		}

		assert.True(t, found, line)
	}

	assert.Len(t, document.Packages, linked+2, "the guard, Go's standard library, and the modules")
	t.Logf("%d modules", linked)
}

// copySource copies what the image is built from.
func copySource(t *testing.T, dir string) {
	t.Helper()

	require.NoError(t, os.MkdirAll(dir, 0o755))

	for _, part := range []string{"go.mod", "go.sum", "LICENSE", "manifest.yaml", "extension", "internal", "pkg", "proto", "service"} {
		if info, err := os.Stat(filepath.Join(tree, part)); err == nil && info.IsDir() {
			require.NoError(t, os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(tree, part))))

			continue
		}

		data, err := os.ReadFile(filepath.Join(tree, part))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, part), data, 0o600))
	}
}

// TestBuild_IsReproducible builds a copy of the source in another folder and compares the digests.
func TestBuild_IsReproducible(t *testing.T) {
	made, manifest := built(t)

	dir := filepath.Join(t.TempDir(), "another/folder")
	copySource(t, dir)

	copied, err := image.Build(t.Context(), runtime.GOARCH, image.Options{Tree: dir})
	require.NoError(t, err)

	var digests []string

	for _, build := range []v1.Image{made, copied} {
		index, err := image.Index(manifest, build)
		require.NoError(t, err)

		digest, err := index.Digest()
		require.NoError(t, err)

		digests = append(digests, digest.String())
	}

	assert.Equal(t, digests[0], digests[1])
	t.Log(digests[0])
}

// TestWriteArchive_LoadsAsOneImage writes an archive for docker load.
func TestWriteArchive_LoadsAsOneImage(t *testing.T) {
	made, manifest := built(t)

	archive := filepath.Join(t.TempDir(), "a.tar")
	require.NoError(t, image.WriteArchive(archive, manifest.Name, manifest.Version, map[string]v1.Image{runtime.GOARCH: made}))

	tag, err := name.NewTag(manifest.Name + ":" + manifest.Version + "-" + runtime.GOARCH)
	require.NoError(t, err)

	loaded, err := tarball.ImageFromPath(archive, &tag)
	require.NoError(t, err)

	layers, err := loaded.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 1)
}
