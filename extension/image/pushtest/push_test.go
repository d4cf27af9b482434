// SPDX-License-Identifier: MPL-2.0

// Package pushtest tests pushes of the image with the race detector, because layers are read in several goroutines. Package image,
// whose tests are long and sequential, runs without it.
package pushtest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/image"
)

// TestPush pushes images of both architectures to a registry with credentials of docker.
func TestPush(t *testing.T) {
	manifest, err := extension.ReadManifest("../../..")
	require.NoError(t, err)

	var images []v1.Image

	for _, arch := range []string{"amd64", "arm64"} {
		made, err := image.New(arch, extension.Files{"/program": {Data: []byte(arch), Mode: 0o755}}, manifest)
		require.NoError(t, err)

		images = append(images, made)
	}

	index, err := image.Index(manifest, images...)
	require.NoError(t, err)

	files := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "anna" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)

			return
		}

		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)

	host := strings.TrimPrefix(server.URL, "http://")
	reference := host + "/you/spegel-guard:" + manifest.Version

	_, err = image.Push(t.Context(), reference, index)
	require.Error(t, err, "without credentials")

	config := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"auths":{"`+host+`":{"username":"anna","password":"secret"}}}`), 0o600))
	t.Setenv("DOCKER_CONFIG", config)

	digest, err := image.Push(t.Context(), reference, index)
	require.NoError(t, err)

	want, err := index.Digest()
	require.NoError(t, err)
	assert.Equal(t, want.String(), digest.DigestStr())

	// A node of this architecture pulls this image.
	pulled, err := remote.Image(digest, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
		remote.WithAuthFromKeychain(authn.DefaultKeychain))
	require.NoError(t, err)
	require.NoError(t, validate.Image(pulled))
}
