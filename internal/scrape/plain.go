// SPDX-License-Identifier: MPL-2.0

package scrape

import (
	"path"

	"github.com/spegel-guard/spegel-guard/internal/series"
)

// mounts is the folder where the operator and the chart of Prometheus mount secrets.
const mounts = "/etc/prometheus/secrets"

// File is the part of Prometheus' configuration with scrape configurations.
type File struct {
	Jobs []Job `json:"scrape_configs"`
}

// Job is one scrape configuration.
type Job struct {
	Name        string      `json:"job_name"`
	Scheme      string      `json:"scheme,omitempty"`
	TLS         *TLS        `json:"tls_config,omitempty"`
	HonorLabels bool        `json:"honor_labels"`
	Nodes       []Discovery `json:"kubernetes_sd_configs"`
	Relabelings []Relabel   `json:"relabel_configs"`
}

// TLS has the paths of PEM files.
type TLS struct {
	CA   string `json:"ca_file"`
	Cert string `json:"cert_file"`
	Key  string `json:"key_file"`
}

// Discovery finds targets in Kubernetes.
type Discovery struct {
	Role string `json:"role"`
}

// Relabel is a relabeling rule.
type Relabel struct {
	Sources     []string `json:"source_labels,omitempty"`
	Regex       string   `json:"regex,omitempty"`
	Target      string   `json:"target_label"`
	Replacement string   `json:"replacement,omitempty"`
}

// Plain returns the endpoint as a part of Prometheus' configuration.
func (e Endpoint) Plain() File {
	job := Job{Name: series.Job, HonorLabels: true, Nodes: []Discovery{{Role: "node"}}}

	if e.tls {
		folder := path.Join(mounts, e.secret)
		job.Scheme = "https"
		job.TLS = &TLS{CA: path.Join(folder, caKey), Cert: path.Join(folder, certKey), Key: path.Join(folder, keyKey)}
	}

	for _, r := range e.relabelings() {
		// The job has this name already.
		if r.target == "job" {
			continue
		}

		rule := Relabel{Regex: r.regex, Target: r.target, Replacement: r.replacement}
		if r.source != "" {
			rule.Sources = []string{r.source}
		}

		job.Relabelings = append(job.Relabelings, rule)
	}

	return File{Jobs: []Job{job}}
}
