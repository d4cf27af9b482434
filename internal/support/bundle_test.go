// SPDX-License-Identifier: MPL-2.0

package support_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/support"
)

// TestBundle_KeepsEachNodeInItsFolder whatever its name and the types of its resources are.
func TestBundle_KeepsEachNodeInItsFolder(t *testing.T) {
	var archive bytes.Buffer

	bundle := support.NewBundle(&archive, time.Unix(0, 0))
	require.NoError(t, bundle.Add("10.0.0.1:50321", []support.File{
		{Path: "status.json", Data: []byte("{}")},
		{Path: "resources/../../../../tmp/evil.yaml", Data: []byte("x")},
		{Path: "/etc/passwd"},
		{Path: "resources/..\\evil\x00.yaml"},
	}, nil))
	require.NoError(t, bundle.Add("../..", nil, errors.New("password=x")))
	require.NoError(t, bundle.Close("v1"))

	reader, err := zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	require.NoError(t, err)

	var names []string

	for _, file := range reader.File {
		names = append(names, file.Name)
		assert.Equal(t, path.Clean(file.Name), file.Name)
		assert.False(t, strings.HasPrefix(file.Name, "/") || strings.Contains(file.Name, ".."), file.Name)

		data, err := file.Open()
		require.NoError(t, err)

		text, err := io.ReadAll(data)
		require.NoError(t, err)
		assert.NotContains(t, string(text), "password=x")
	}

	assert.Contains(t, names, "10.0.0.1_50321/status.json")
	assert.Len(t, names, 6)
}

func TestRedact(t *testing.T) {
	const left = "[left out]"

	for text, want := range map[string]string{
		`password: hunter2`:                                      `password: ` + left,
		`password: "two words"`:                                  `password: "` + left + `"`,
		`"password":"two words","user":"x"`:                      `"password":"` + left + `","user":"x"`,
		`{"m":"password: \"two words\", user x"}`:                `{"m":"password: \"` + left + `\", user x"}`,
		`password='two words' user=x`:                            `password='` + left + `' user=x`,
		`spegel --password hunter2 --port 5`:                     `spegel --password ` + left + ` --port 5`,
		`spegel --registry-token "two words" x`:                  `spegel --registry-token ` + left + ` x`,
		`m: 'failed: password=''two words'' user=x'`:             `m: 'failed: password=''` + left + `'' user=x'`,
		`m: 'run: --password ''two words'' x'`:                   `m: 'run: --password ` + left + ` x'`,
		`pwd=hunter2;x`:                                          `pwd=` + left,
		`private_key: abc`:                                       `private_key: ` + left,
		`aws_secret_access_key=abc`:                              `aws_secret_access_key=` + left,
		`API-KEY = abc`:                                          `API-KEY = ` + left,
		`Authorization: Bearer abc`:                              `Authorization: ` + left,
		`https://user:hunter2@host/x`:                            `https://user:` + left + `@host/x`,
		`got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl.`: `got [JWT left out].`,
		"password: ab'cd":                                        `password: ` + left,
		`token=[ab[cd`:                                           `token=` + left,
		"password=\"cut off\nnext: 1":                            "password=\"" + left + "\"next: 1",
		`token: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln`:       `token: ` + left,
		"a rule with credit 10m, key talos-role":                 "a rule with credit 10m, key talos-role",
		"the secret is kept, the token bucket too":               "the secret is kept, the token bucket too",
	} {
		t.Run(text, func(t *testing.T) { assert.Equal(t, want, string(support.Redact([]byte(text)))) })
	}
}
