// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const broken = `mode: kill
rules:
  - {name: TX, signal: networkTx, threshold: 500k}
ceiling:
  cpuu: 1
`

// TestGolden prints every command in every format.
func TestGolden(t *testing.T) {
	c := newCluster(t)
	// A table printed at once has the widths of all rows.
	c.pace = pace{quiet: time.Minute}
	bad := filepath.Join(t.TempDir(), "broken.yaml")
	require.NoError(t, os.WriteFile(bad, []byte(broken), 0o600))

	exporting := filepath.Join(t.TempDir(), "exporting.yaml")
	require.NoError(t, os.WriteFile(exporting, []byte("metrics: {listen: \":9470\", tls: {source: talos}}\n"), 0o600))

	commands := []struct {
		name string
		args []string
		code int
	}{
		{"status", []string{"status"}, exitThrottled},
		{"explain", []string{"explain", "-n", "talos-prod-2"}, 0},
		{"history", []string{"history", "-n", "talos-prod-2", "--since", "35s"}, 0},
		{"history-day", []string{"history", "-n", "talos-prod-2", "--since", "24h"}, 0},
		{"events", []string{"events"}, 0},
		{"compare", []string{"compare"}, 0},
		{"top-once", []string{"top", "--once"}, exitThrottled},
		{"config", []string{"config", "-n", "talos-prod-2"}, 0},
		{"config-validate", []string{"config", "validate", bad}, 1},
		{"rules", []string{"rules"}, 0},
		{"rules-plain", []string{"rules", "--form", "plain"}, 0},
		{"rules-inhibit", []string{"rules", "--form", "inhibit"}, 0},
		{"doctor", []string{"doctor", "-n", "talos-prod-2"}, exitUnavailable},
		{"version", []string{"version", "-n", "talos-prod-2"}, 0},
		{"replay", []string{"replay", traces + "incident.jsonl"}, 0},
		{"throttle", []string{"throttle", "-n", "talos-prod-3", "--ceiling", "300m", "--for", "1h", "--reason", "drill"}, 0},
		{"status-override", []string{"status", "-n", "talos-prod-3"}, 0},
		{"resume", []string{"resume", "-n", "talos-prod-3", "--target", "spegel/spegel-3x7k2/registry"}, 0},
		{"release", []string{"release", "-n", "talos-prod-2", "--reason", "it is needed"}, 0},
		{"pause", []string{"pause", "-n", "talos-prod-1"}, 0},
		{"capture", []string{"capture", "-n", "talos-prod-2"}, 0},
	}

	for _, command := range commands {
		for _, format := range []string{"", "table", "wide", "yaml", "json", "jsonpath={.node}{.state}"} {
			args := command.args
			shown := format

			// The default is the table, except for rules.
			switch {
			case format != "":
				args = append([]string{"-o", format}, args...)
			case strings.HasPrefix(command.name, "rules"):
				shown = "yaml"
			default:
				shown = "table"
			}

			name, _, _ := strings.Cut(command.name+"."+shown, "=")

			// Each format needs an override to end.
			if command.name == "resume" {
				c.run("throttle", "-n", "talos-prod-3", "--ceiling", "300m", "--for", "1h", "--reason", "drill")
			}

			got := c.run(args...)
			require.Equal(t, command.code, got.code, "%s: %s", name, got.stderr)

			text := strings.ReplaceAll(scrubbed(got.stdout), bad, "broken.yaml")
			notes := strings.ReplaceAll(scrubbed(got.stderr), bad, "broken.yaml")

			if notes != "" {
				text += "--- stderr\n" + notes
			}

			compareGolden(t, name, text)
		}
	}

	// Configuration for other programs.
	placed := []string{"--namespace", "monitoring", "--label", "release=kube-prometheus-stack", "--label", "team=platform"}

	for name, args := range map[string][]string{
		"rules-kube-prometheus": append([]string{"rules", "--config", exporting, "--runbook-base", "https://wiki.example.org/guard"}, placed...),
		"scrape":                append([]string{"scrape", "--config", exporting}, placed...),
		"scrape-plain":          {"scrape", "--config", exporting, "--form", "plain"},
		"dashboard-configmap":   append([]string{"dashboard", "--form", "configmap"}, placed...),
		"rules-help":            {"rules", "--help"},
		"scrape-help":           {"scrape", "--help"},
		"dashboard-help":        {"dashboard", "--help"},
	} {
		got := c.run(args...)
		require.Zero(t, got.code, "%s: %s", name, got.stderr)
		compareGolden(t, name, got.stdout)
	}

	compareGolden(t, "config-generate", c.run("config", "generate", "--mode", "observe", "--cpu", "300m", "--alloc", "1G/min", "--ceiling", "400m").stdout)
}

// TestGolden_HasEachKeyOnce: of two fields of one name a program reads only one. The golden files are the output of all commands.
func TestGolden_HasEachKeyOnce(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json.golden")
	require.NoError(t, err)
	require.NotEmpty(t, files)

	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)

			documents, _, _ := strings.Cut(string(text), "--- stderr")

			for decoder := json.NewDecoder(strings.NewReader(documents)); decoder.More(); {
				eachKeyOnce(t, decoder)
			}
		})
	}
}

// eachKeyOnce reads one value.
func eachKeyOnce(t *testing.T, decoder *json.Decoder) {
	t.Helper()

	begin, err := decoder.Token()
	require.NoError(t, err)

	if _, ok := begin.(json.Delim); !ok {
		return
	}

	for keys := map[json.Token]bool{}; decoder.More(); {
		if begin == json.Delim('{') {
			key, err := decoder.Token()
			require.NoError(t, err)
			assert.False(t, keys[key], "%q occurs twice in one object", key)

			keys[key] = true
		}

		eachKeyOnce(t, decoder)
	}

	_, err = decoder.Token()
	require.NoError(t, err)
}
