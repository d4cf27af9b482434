// SPDX-License-Identifier: MPL-2.0

package scrape_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/manifest"
	"github.com/spegel-guard/spegel-guard/internal/scrape"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func endpoint(t *testing.T, source config.TLSSource) scrape.Endpoint {
	t.Helper()

	endpoint, err := scrape.NewEndpoint(config.Exporter{Listen: "[::]:9471", TLS: config.TLS{Source: source}}, "prometheus-talos")
	require.NoError(t, err)

	return endpoint
}

func TestNewEndpoint_NeedsMetrics(t *testing.T) {
	_, err := scrape.NewEndpoint(config.Exporter{}, "")
	require.ErrorIs(t, err, scrape.ErrNoMetrics)
}

// TestEndpoint_UsesThePortAndTLSOfTheDocument: both forms, which honour the labels of the guards.
func TestEndpoint_UsesThePortAndTLSOfTheDocument(t *testing.T) {
	placement := manifest.Placement{Namespace: "monitoring", Labels: map[string]string{"release": "kps"}}

	for _, test := range []struct {
		source config.TLSSource
		tls    bool
	}{{config.TLSNone, false}, {config.TLSTalos, true}, {config.TLSFiles, true}} {
		t.Run(string(test.source), func(t *testing.T) {
			job := endpoint(t, test.source).Plain().Jobs[0]
			assert.True(t, job.HonorLabels)
			assert.Equal(t, "$1:9471", job.Relabelings[0].Replacement)

			object := endpoint(t, test.source).ScrapeConfig(placement)
			assert.True(t, object.Spec.HonorLabels)
			assert.Equal(t, "$1:9471", *object.Spec.Relabelings[0].Replacement)
			assert.Equal(t, "kps", object.Metadata.Labels["release"])
			assert.Equal(t, "monitoring", object.Metadata.Namespace)

			if !test.tls {
				assert.Nil(t, job.TLS)
				assert.Nil(t, object.Spec.TLS)
				assert.Empty(t, job.Scheme+object.Spec.Scheme)

				return
			}

			assert.Equal(t, "https", job.Scheme)
			assert.Equal(t, "/etc/prometheus/secrets/prometheus-talos/tls.key", job.TLS.Key)
			assert.Equal(t, "HTTPS", object.Spec.Scheme)
			assert.Equal(t, "prometheus-talos", object.Spec.TLS.KeySecret.Name)
			assert.Equal(t, "ca.crt", object.Spec.TLS.CA.Secret.Key)
			assert.Equal(t, "tls.crt", object.Spec.TLS.Cert.Secret.Key)
		})
	}
}

// TestPromtool_AcceptsThePlainForm: Debian's promtool has no discovery of Kubernetes.
func TestPromtool_AcceptsThePlainForm(t *testing.T) {
	promtool := os.Getenv("SPEGEL_GUARD_PROMTOOL")
	if promtool == "" {
		t.Skip("SPEGEL_GUARD_PROMTOOL is not set: make test-cli sets it")
	}

	for _, source := range []config.TLSSource{config.TLSNone, config.TLSTalos} {
		t.Run(string(source), func(t *testing.T) {
			text, err := manifest.YAML(endpoint(t, source).Plain())
			require.NoError(t, err)

			const discovery = "kubernetes_sd_configs:\n  - role: node\n"

			require.Contains(t, string(text), discovery)

			path := filepath.Join(t.TempDir(), "prometheus.yml")
			require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), discovery, "static_configs: [{targets: [node]}]\n", 1)), 0o600))

			out, err := exec.CommandContext(t.Context(), promtool, "check", "config", "--syntax-only", path).CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "SUCCESS")
		})
	}
}
