// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spegel-guard/spegel-guard/internal/manifest"
	"github.com/spegel-guard/spegel-guard/internal/scrape"
	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

const scraping = `
` + "`spegelguardctl rules`" + ` prints alerts on them, ` + "`spegelguardctl dashboard`" + ` a Grafana dashboard: see [spegelguardctl.md](spegelguardctl.md#rules).

## Scraping them

In the document ` + "`metrics: {listen: \":9470\", tls: {source: talos}}`" + ` (or ` + "`spegelguardctl config generate --metrics :9470`" + ` without TLS).
Without ` + "`metrics.tls`" + ` everybody who reaches the port may read them: see [security.md](security.md). The command ` + "`scrape`" + ` prints the
configuration of Prometheus for the port and the TLS of the nodes, or of a document. It discovers all nodes of Kubernetes; Prometheus
must be allowed to list nodes (the chart kube-prometheus-stack allows that, the role of kube-prometheus has to be extended).

` + "`spegelguardctl scrape --config guard.yaml --namespace monitoring --label release=kube-prometheus-stack`" + ` prints a ScrapeConfig for
the Prometheus operator. The label is the one that ` + "`scrapeConfigSelector`" + ` of the Prometheus object selects:

%s
` + "`spegelguardctl scrape --config guard.yaml --form plain`" + ` prints a part of Prometheus' own configuration:

%s
Without ` + "`metrics.tls`" + ` the scheme and the paths are left out.

### The client certificate

With ` + "`source: talos`" + ` the listener has the node's own certificate, the one of apid, which has the addresses of the node and which
the guard follows when Talos rotates it. Prometheus needs a client certificate of Talos' CA with the role ` + "`os:reader`" + `, with which it
can also read Talos' API. With ` + "`source: files`" + ` it needs one of ` + "`metrics.tls.ca`" + `, and ` + "`ca.crt`" + ` is the CA of ` + "`metrics.tls.cert`" + `.

` + "```sh" + `
talosctl config new --roles os:reader --crt-ttl 8760h prometheus.yaml
` + "```" + `

The fields ` + "`ca`, `crt` and `key`" + ` of the context in that file are base64, as the data of a secret is:

` + "```yaml" + `
apiVersion: v1
kind: Secret
metadata: {name: spegel-guard-metrics, namespace: monitoring}
data: {ca.crt: LS0t..., tls.crt: LS0t..., tls.key: LS0t...}
` + "```" + `

For the plain form mount it at the paths (the charts' ` + "`secrets`" + ` and ` + "`extraSecretMounts`" + ` do). Renew it before it expires: afterwards
` + "`SpegelGuardDown`" + ` fires for all nodes.

### Labels

The guard's series have the labels ` + "`namespace`, `pod` and `container`" + ` *of the target*, as those of the kubelet have. If Prometheus
finds a guard with labels of these names (a PodMonitor, other relabelings), it renames the guard's to ` + "`exported_namespace`" + ` and
` + "`exported_pod`" + `, and the alerts, the inhibit rule and the dashboard no longer name the pod. ` + "`honorLabels: true`" + ` keeps them. Two
fields of the Prometheus object prevail over it: ` + "`overrideHonorLabels: true`, and `enforcedNamespaceLabel: namespace`" + `, for which the
ScrapeConfig and the PrometheusRule belong in ` + "`excludedFromEnforcement`" + `.

` + "`instance`" + ` is the name of the node. ` + "`job`" + ` is ` + "`spegel-guard`" + `; ` + "`rules --job`" + ` sets another one for ` + "`SpegelGuardDown`" + `. Alerts
and dashboard keep the label ` + "`cluster`" + ` if there is one, as in Thanos or Mimir.
`

// scrapeForms returns both forms of the scrape configuration as blocks of YAML.
func scrapeForms() (object, plain string, err error) {
	endpoint, err := scrape.NewEndpoint(config.Exporter{Listen: ":9470", TLS: config.TLS{Source: config.TLSTalos}}, scrape.ClientCertificate)
	if err != nil {
		return "", "", err
	}

	placement := manifest.Placement{Namespace: "monitoring", Labels: map[string]string{"release": "kube-prometheus-stack"}}

	first, err := manifest.YAML(endpoint.ScrapeConfig(placement))
	if err != nil {
		return "", "", err
	}

	second, err := manifest.YAML(endpoint.Plain())

	return "```yaml\n" + string(first) + "```\n", "```yaml\n" + string(second) + "```\n", err
}

func metrics() (string, error) {
	object, plain, err := scrapeForms()
	if err != nil {
		return "", err
	}

	var b strings.Builder

	b.WriteString(`# Metrics

Generated from internal/series by ` + "`make generate`" + `. They are served at ` + "`/metrics`" + ` of ` + "`metrics.listen`" + `, which is off unless set, with
mutual TLS if ` + "`metrics.tls`" + ` is set, together with Go's and the process's own (` + "`go_*`, `process_*`" + `).
An unavailable value is absent, never 0. No label holds a container's id.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
`)

	for _, s := range series.All() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, s.Kind, strings.Join(s.Labels, ", "), s.Help)
	}

	fmt.Fprintf(&b, scraping, object, plain)

	return b.String(), nil
}
