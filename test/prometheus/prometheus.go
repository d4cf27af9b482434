// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package prometheus runs Debian's Prometheus in tests.
package prometheus

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Run runs the program until the test ends, and logs its output if the test fails. Requests are served at the address.
func Run(t *testing.T, program, address, configuration string) {
	t.Helper()

	dir := t.TempDir()
	path := filepath.Join(dir, "prometheus.yml")

	require.NoError(t, os.WriteFile(path, []byte(configuration), 0o600))

	cmd := exec.CommandContext(t.Context(), program, "--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--web.console.libraries="+dir, "--web.console.templates="+dir)

	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)

	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())

	t.Cleanup(func() {
		_ = cmd.Wait() // the context has ended it

		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("--- prometheus ---\n%s\n%s", configuration, text)
		}
	})
}

// Query returns the instant vector of a query. It is empty while Prometheus starts.
func Query(t *testing.T, address, query string) []any {
	t.Helper()

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/api/v1/query?"+url.Values{"query": {query}}.Encode(), nil)
	require.NoError(t, err)

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}

	defer response.Body.Close() //nolint:errcheck // read only

	var answer struct {
		Status, Error string
		Data          struct{ Result []any }
	}

	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status == "" {
		return nil // it is not ready
	}

	require.Equal(t, "success", answer.Status, "%s: %s", query, answer.Error)

	return answer.Data.Result
}
