// SPDX-License-Identifier: MPL-2.0

package doc_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/doc"
)

const text = "# Title\n\nSee [there](other.md), [far](https://example.org) and `make test`.\n\n" +
	"<!-- loop: calm -->\n```console\n$ talosctl get spegel > out.yaml\nNODE   STATE\nn1     ok\n$ true\n```\n\n" +
	"```sh\nmake demo    # a minute\n# nothing\ngo run x \\\n  ./y\n```\n\n```yaml\nmode: observe\n```\n"

func TestRead_FindsBlocksAndLinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.md")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))

	document, err := doc.Read(path)
	require.NoError(t, err)

	assert.Equal(t, []string{"other.md"}, document.Links)
	require.Len(t, document.Blocks, 3)
	assert.Equal(t, []string{"calm", "", ""}, []string{document.Blocks[0].Stage, document.Blocks[1].Stage, document.Blocks[2].Stage})

	assert.Equal(t, []doc.Command{
		{Line: "talosctl get spegel > out.yaml", Output: "NODE   STATE\nn1     ok\n"}, {Line: "true"},
		{Line: "make demo"}, {Line: "go run x    ./y"}, {Line: "make test"},
	}, document.Commands())

	assert.Equal(t, []string{"a", "b c", "d"}, doc.Words(`a "b c" d`))
}

func TestAlike_IgnoresFigures(t *testing.T) {
	assert.Equal(t, doc.Alike("ok   265m   1.4 MB/s   2026-01-05T03:04:05Z"), doc.Alike("ok  1800m  870 kB/s  2026-11-25T13:14:15Z\n"))
	assert.Equal(t, doc.Alike("for 10m0s 5f2a5f2a5f2a"), doc.Alike("for 9.5s 0123456789ab"))
	assert.NotEqual(t, doc.Alike("ok 265m"), doc.Alike("throttled 265m"))
	assert.NotEqual(t, doc.Alike("a\nb"), doc.Alike("a"))
}
