// SPDX-License-Identifier: MPL-2.0

//go:build linux

package metrics_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/spegel-guard/spegel-guard/internal/manifest"
	scrapeconfig "github.com/spegel-guard/spegel-guard/internal/scrape"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
	"github.com/spegel-guard/spegel-guard/service/internal/metrics"
	"github.com/spegel-guard/spegel-guard/test/pki"
	"github.com/spegel-guard/spegel-guard/test/prometheus"
)

// TestPrometheus_ScrapesWithThePrintedConfiguration: Debian's Prometheus scrapes a guard with a node's certificate, with the
// configuration of internal/scrape and a client certificate of os:reader. Only the discovery differs: its target has the
// kubelet's port and labels that collide with those of the guard's series.
func TestPrometheus_ScrapesWithThePrintedConfiguration(t *testing.T) {
	program := os.Getenv("SPEGEL_GUARD_PROMETHEUS")
	if program == "" {
		t.Skip("SPEGEL_GUARD_PROMETHEUS is not set: make test-cli sets it")
	}

	authority, err := pki.New()
	require.NoError(t, err)

	listen := serve(t, metrics.Options{Identities: store(t, authority), Roles: true})

	endpoint, err := scrapeconfig.NewEndpoint(config.Exporter{Listen: listen, TLS: config.TLS{Source: config.TLSTalos}}, scrapeconfig.ClientCertificate)
	require.NoError(t, err)

	dir := t.TempDir()
	file := endpoint.Plain()
	job := &file.Jobs[0]
	require.Equal(t, "/etc/prometheus/secrets/spegel-guard-metrics/ca.crt", job.TLS.CA)

	// The fields of the talosconfig are the data of the secret.
	context, err := authority.ClientContext("", role.Reader)
	require.NoError(t, err)

	var secret corev1.Secret

	require.NoError(t, yaml.UnmarshalStrict(fmt.Appendf(nil, "data: {ca.crt: %s, tls.crt: %s, tls.key: %s}", context.CA, context.Crt, context.Key), &secret))

	for file, data := range secret.Data {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), data, 0o600))
	}

	job.TLS.CA, job.TLS.Cert, job.TLS.Key = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")

	type static struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}

	configuration, err := manifest.YAML(map[string]any{
		"global": map[string]string{"scrape_interval": "1s"},
		"scrape_configs": []any{struct {
			scrapeconfig.Job
			Nodes   []int    `json:"kubernetes_sd_configs,omitempty"`
			Targets []static `json:"static_configs"`
		}{Job: *job, Targets: []static{{
			Targets: []string{"127.0.0.1:10250"},
			Labels:  map[string]string{"namespace": "monitoring", "pod": "other", "__meta_kubernetes_node_name": "talos-prod-2"},
		}}}},
	})
	require.NoError(t, err)

	port, err := fleettest.FreePort()
	require.NoError(t, err)

	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))

	prometheus.Run(t, program, address, string(configuration))

	for _, query := range []string{
		`up{job="spegel-guard", instance="talos-prod-2"} == 1`,
		// The labels are the guard's, as the inhibit rule needs them.
		`spegel_guard_ceiling_cores{job="spegel-guard", instance="talos-prod-2", namespace="spegel", pod="spegel-2x7k2", container="registry"}`,
	} {
		assert.Eventually(t, func() bool { return len(prometheus.Query(t, address, query)) > 0 }, time.Minute, 200*time.Millisecond, query)
	}
}
