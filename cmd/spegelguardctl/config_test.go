// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestRules_RefuseDifferentConfigurations(t *testing.T) {
	c := newCluster(t)

	require.NoError(t, safe.StateModify(t.Context(), c.guards[2].State, resources.NewGuardConfig(resources.GuardConfigID), func(r *resources.GuardConfig) error {
		r.TypedSpec().Document = "mode: observe"

		return nil
	}))

	got := c.run("rules")
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "talos-prod-1 and talos-prod-3 have different configurations")
	assert.Empty(t, got.stdout)
}

// TestConfigRows_BoundTheSource, which stands in each of them.
func TestConfigRows_BoundTheSource(t *testing.T) {
	rows := configRows(&client.Config{GuardConfigSpec: resources.GuardConfigSpec{
		Source: strings.Repeat("x", 1<<20), Settings: []resources.ConfigSetting{{Field: "mode", Value: "observe", Origin: "line 1"}},
	}})
	require.Len(t, rows, 1)
	assert.Equal(t, strings.Repeat("x", maxSource)+"..., line 1", rows[0].Cells[2])
}

func TestConfigValidate_FindsMistakes(t *testing.T) {
	c := &cluster{}

	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "f.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))

		return path
	}

	got := c.run("config", "validate", "../../extension/patches/aggressive.yaml")
	assert.Equal(t, ran{stderr: "../../extension/patches/aggressive.yaml is valid\n"}, got)

	// What generate prints is valid, and lines are those of the machine configuration.
	generated := c.run("config", "generate", "--cpu", "300m", "--ceiling", "400m")
	require.Equal(t, 0, generated.code, generated.stderr)
	assert.Equal(t, 0, c.run("config", "validate", write(generated.stdout)).code)

	broken := write(strings.NewReplacer("threshold: 300m", "threshold: much", "cpu: 400m", "cpu: 1m").Replace("machine:\n  type: worker\ncluster: {}\n---\n" + generated.stdout))
	got = c.run("config", "validate", broken, "-o", "jsonpath={range .mistakes[*]}{.line} {.field}\n{end}")
	assert.Equal(t, 1, got.code)

	file, err := os.ReadFile(broken)
	require.NoError(t, err)

	lines := strings.Split(string(file), "\n")
	for _, mistake := range []struct{ field, text string }{{"ceiling.cpu", "cpu: 1m"}, {"rules[0].threshold", "threshold: much"}} {
		for i, line := range lines {
			if strings.Contains(line, mistake.text) {
				assert.Contains(t, got.stdout, strconv.Itoa(i+1)+" "+mistake.field)
			}
		}
	}

	// What is wrong with Talos' part does not hide the rest.
	got = c.run("config", "validate", write("apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: spegel-guard\nconfigfiles: []\nconfigFiles:\n"+
		"- mountPath: /usr/local/etc/spegel-guard/config.yaml\n  content: |\n    mode: kill\n"))
	assert.Contains(t, got.stdout, "(Talos' documents)")
	assert.Contains(t, got.stdout, "configfiles")
	assert.Regexp(t, `8 +mode +kill +observe or enforce`, got.stdout)

	// Talos could not create the service.
	got = c.run("config", "validate", write(generated.stdout+"    - {mountPath: /proc/x, content: x}\n"))
	assert.Equal(t, 1, got.code)
	assert.Regexp(t, `configFiles\[1\]\.mountPath +/proc/x +a path in /usr/local/etc/spegel-guard`, got.stdout)

	got = c.run("config", "validate", write(strings.Replace(generated.stdout, "config.yaml", "../config.yaml", 1)))
	assert.Equal(t, 1, got.code)
	assert.Regexp(t, `configFiles\[0\]\.mountPath +/usr/local/etc/spegel-guard/\.\./config\.yaml +a path in`, got.stdout)

	got = c.run("config", "validate", write("kind: ExtensionServiceConfig\napiVersion: v1alpha1\nname: other\n"))
	assert.Contains(t, got.stderr, "no ExtensionServiceConfig named spegel-guard")

	// A dash is the standard input.
	var stdout, stderr bytes.Buffer

	a := newApp()
	a.stdout, a.stderr = &stdout, &stderr

	root := a.root()
	root.SetIn(strings.NewReader("mode: kill\n"))
	root.SetArgs([]string{"config", "validate", "-"})
	require.EqualError(t, root.Execute(), "1 mistake in the standard input")
	assert.Regexp(t, `1 +mode +kill +observe or enforce`, stdout.String())

	root.SetIn(strings.NewReader("mode: observe\n"))
	require.NoError(t, root.Execute())
	assert.Equal(t, "the standard input is valid\n", stderr.String())

	got = c.run("config", "generate", "--mode", "kill", "--cpu", "much")
	assert.Equal(t, 1, got.code)
	assert.Regexp(t, `invalid --cpu "much": .*; invalid --mode "kill": must be observe or enforce`, got.stderr)
}
