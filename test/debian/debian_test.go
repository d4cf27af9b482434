// SPDX-License-Identifier: MPL-2.0

package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChoose_SelectsPackage(t *testing.T) {
	names := []string{
		"linux-image-6.18.9-cloud-amd64", "linux-image-6.18.15-cloud-amd64", "linux-image-6.18.15-amd64",
		"linux-image-6.19.1-cloud-amd64", "veth",
	}

	for _, test := range []struct {
		name, spec, want string
	}{
		{"plain name", "veth", "veth"},
		{"first alternative", "linux-image-6.18.9-cloud-amd64 | veth", "linux-image-6.18.9-cloud-amd64"},
		{"second alternative", "linux-image-6.18.1-cloud-amd64 | veth", "veth"},
		{"newest of a series", "linux-image-6.18.*-cloud-amd64", "linux-image-6.18.15-cloud-amd64"},
		{"pattern after a name", "none | linux-image-6.18.*[0-9]-amd64", "linux-image-6.18.15-amd64"},
		{"no match", "linux-image-6.17.* | none", ""},
		{"invalid pattern", "[", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := choose(test.spec, names)

			assert.Equal(t, test.want, got)
			assert.Equal(t, test.want == "", err != nil, "%v", err)
		})
	}
}

func TestParseURIs_ReadsPackages(t *testing.T) {
	const line = "'http://deb.debian.org/debian/pool/main/v/veth_1%3a2_amd64.deb' veth_1%3a2_amd64.deb 100 SHA256:ab\n"

	for _, test := range []struct {
		name, text string
		want       string
	}{
		{"one package", line, "veth_1%3a2_amd64.deb SHA256:ab\n"},
		{"sorted by name", line + "'http://x/a.deb' a_1_all.deb 2 SHA256:cd\n", "a_1_all.deb SHA256:cd\nveth_1%3a2_amd64.deb SHA256:ab\n"},
		{"weak hash", strings.Replace(line, "SHA256", "MD5Sum", 1), ""},
		{"message of apt", line + "W: something is wrong\n", ""},
		{"nothing", "\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			files, err := parseURIs(test.text)

			assert.Equal(t, test.want, files.String())
			assert.Equal(t, test.want == "", err != nil, "%v", err)
		})
	}
}

func TestSources_ListsSuites(t *testing.T) {
	for suite, want := range map[string]string{
		Trixie: "deb [signed-by=/k] http://deb.debian.org/debian trixie main\n",
		TrixieBackports: "deb [signed-by=/k] http://deb.debian.org/debian trixie main\n" +
			"deb [signed-by=/k] http://deb.debian.org/debian trixie-backports main\n",
	} {
		t.Run(suite, func(t *testing.T) { assert.Equal(t, want, sources(suite, "/k")) })
	}
}

func TestKeyringOf_SelectsFile(t *testing.T) {
	for _, test := range []struct {
		name  string
		files []string
		want  string
	}{
		{"bookworm's newer package", []string{"debian-archive-keyring.gpg", "debian-archive-trixie-stable.gpg"}, "debian-archive-keyring.gpg"},
		{"later package", []string{"debian-archive-keyring.pgp", "debian-archive-trixie-stable.pgp"}, "debian-archive-keyring.pgp"},
		{"package older than the release", []string{"debian-archive-keyring.gpg", "debian-archive-bookworm-stable.gpg"}, ""},
		{"no keyring", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			folder := filepath.Join(root, keyringFolder)
			require.NoError(t, os.MkdirAll(folder, 0o755))

			for _, file := range test.files {
				require.NoError(t, os.WriteFile(filepath.Join(folder, file), nil, 0o644))
			}

			keyring, ok := keyringOf(root, TrixieBackports)

			assert.Equal(t, test.want != "", ok)
			assert.Equal(t, test.want, strings.TrimPrefix(keyring, folder+"/"))
		})
	}
}

// TestUnpack_ReadsCacheWithoutNetwork: the cache has the answer to the request, whose suite does not exist.
func TestUnpack_ReadsCacheWithoutNetwork(t *testing.T) {
	cache := t.TempDir()
	req := request{suite: "none", packages: []string{"veth"}}
	list := packageFiles{{name: "veth_1_all.deb", hash: "SHA256:ab"}}.String()
	root := rootFolder(filepath.Join(cache, "debian"), list)

	require.NoError(t, os.MkdirAll(root, 0o755))
	require.NoError(t, writeFile(filepath.Join(cache, "debian", "requests", req.key()), list))

	got, err := UnpackOnly(t.Context(), cache, "none", "veth")
	require.NoError(t, err)
	assert.Equal(t, root, got)

	_, err = UnpackOnly(t.Context(), cache, "none")
	assert.ErrorContains(t, err, "no package is named")
}
