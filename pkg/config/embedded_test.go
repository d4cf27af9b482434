// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func TestFind_ReadsMachineConfigurations(t *testing.T) {
	file, err := os.ReadFile("../../extension/patches/observe.yaml")
	require.NoError(t, err)

	found, err := config.Find(append([]byte("machine: {type: worker}\n---\n"), file...))
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "apiVersion: v1alpha1\nkind: SpegelGuardConfig\nmode: observe\n", string(found[0].Document))
	assert.Equal(t, 10, found[0].Offset, "the line before the first of the document")

	for _, plain := range []string{"", "mode: observe", "kind: SpegelGuardConfig\nmode: kill", "- 1"} {
		found, err = config.Find([]byte(plain))
		require.NoError(t, err)
		assert.Equal(t, []config.Embedded{{Document: []byte(plain)}}, found)
	}

	_, err = config.Find([]byte("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a\n"))
	require.ErrorIs(t, err, config.ErrNoDocument)

	_, err = config.Find([]byte("a: ["))
	require.ErrorContains(t, err, "line 1")
}

func TestMisplacedFiles_NamesEachPath(t *testing.T) {
	const service = "apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: spegel-guard\nconfigFiles:\n"

	for name, test := range map[string]struct {
		file string
		want map[int]string // values by line
	}{
		"the configuration":          {service + "  - mountPath: " + config.Path + "\n", nil},
		"a file in a folder":         {service + "  - mountPath: /usr/local/etc/spegel-guard/tls/ca.pem\n", nil},
		"another service":            {"kind: ExtensionServiceConfig\nname: other\nconfigFiles: [{mountPath: /proc/x}]\n", nil},
		"no machine configuration":   {"mode: observe\n", nil},
		"no files":                   {service, nil},
		"below procfs":               {service + "  - mountPath: /proc/x\n", map[int]string{5: "/proc/x"}},
		"below a mount":              {service + "  - mountPath: /host/var/x\n", map[int]string{5: "/host/var/x"}},
		"the program":                {service + "  - mountPath: /spegel-guard\n", map[int]string{5: "/spegel-guard"}},
		"another folder":             {service + "  - mountPath: /usr/local/etc/spegel-guards/x\n", map[int]string{5: "/usr/local/etc/spegel-guards/x"}},
		"the folder itself":          {service + "  - mountPath: /usr/local/etc/spegel-guard/\n", map[int]string{5: "/usr/local/etc/spegel-guard/"}},
		"out of the folder":          {service + "  - mountPath: /usr/local/etc/spegel-guard/../x\n", map[int]string{5: "/usr/local/etc/spegel-guard/../x"}},
		"beside one without a path":  {service + "  - mountPath: " + config.Path + "\n  - content: x\n", nil},
		"no path":                    {service + "  - mountPath:\n", map[int]string{5: ""}},
		"below the configuration":    {service + "  - mountPath: " + config.Path + "/x\n  - mountPath: " + config.Path + "\n", map[int]string{5: config.Path + "/x"}},
		"the second of two services": {service + "---\n" + service + "  - mountPath: /run/x\n", map[int]string{10: "/run/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			misplaced, err := config.MisplacedFiles([]byte(test.file))
			require.NoError(t, err)

			var got map[int]string

			for _, e := range misplaced {
				if got == nil {
					got = map[int]string{}
				}

				got[e.Line] = e.Value
				assert.Equal(t, "configFiles[0].mountPath", e.Field)
			}

			assert.Equal(t, test.want, got)
		})
	}

	_, err := config.MisplacedFiles([]byte("a: ["))
	require.ErrorContains(t, err, "line 1")
}
