// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spegel-guard/spegel-guard/internal/series"
)

const scraping = `
` + "`spegelguardctl rules`" + ` prints alerts on them, ` + "`spegelguardctl dashboard`" + ` a Grafana dashboard.

## Scraping them

In the document ` + "`metrics: {listen: \":9470\"}`" + ` (or ` + "`spegelguardctl config generate --metrics :9470`" + `), and in Prometheus' configuration:

` + "```yaml" + `
scrape_configs:
  - job_name: spegel-guard
    kubernetes_sd_configs: [{role: node}]
    relabel_configs:
      - {source_labels: [__meta_kubernetes_node_address_InternalIP], target_label: __address__, replacement: "$1:9470"}
      - {source_labels: [__meta_kubernetes_node_name], target_label: instance}
` + "```" + `

Without ` + "`metrics.tls`" + ` everybody who reaches the port may read them: see [security.md](security.md).
`

func metrics() string {
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

	b.WriteString(scraping)

	return b.String()
}
