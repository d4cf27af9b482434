// SPDX-License-Identifier: MPL-2.0

//go:build linux

package watcher

import (
	"context"
	"io"
	"net/http"
	"time"
)

const exporterAddress = "127.0.0.1:9100"

// Programs has the paths of the other watchers.
type Programs struct{ Stat, Exporter, Cadvisor string }

// StartPeers starts the other watchers of containers, by the paths of their cgroups.
func StartPeers(ctx context.Context, programs Programs, cgroups []string, interval time.Duration) ([]*Watcher, error) {
	var watchers []*Watcher

	for _, peer := range []struct {
		who  string
		args []string
	}{
		{"containerd/cgroups Stat polling", append([]string{programs.Stat, "-interval", interval.String()}, cgroups...)},
		{"prometheus-node-exporter, scraped", []string{programs.Exporter, "--web.listen-address=" + exporterAddress}},
		{"cAdvisor's library", []string{programs.Cadvisor, "-interval", interval.String()}},
	} {
		w, err := Start(context.WithoutCancel(ctx), peer.who, peer.args...)
		if err != nil {
			return nil, err
		}

		watchers = append(watchers, w)
	}

	go scrape(ctx, interval)

	return watchers, nil
}

// scrape requests /metrics of the node exporter, as Prometheus does.
func scrape(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}

		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+exporterAddress+"/metrics", nil)
		if err != nil {
			return
		}

		response, err := http.DefaultClient.Do(request)
		if err != nil {
			continue // it is starting
		}

		io.Copy(io.Discard, response.Body) //nolint:errcheck // only the request counts
		response.Body.Close()              //nolint:errcheck // read only
	}
}
