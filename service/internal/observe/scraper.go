// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"context"
	"sync"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// scraper asks a target for its application metrics beside the samples: an answer may take long.
type scraper struct {
	cancel context.CancelFunc

	mu    sync.Mutex
	stats resources.ApplicationStats
}

// startScraper starts a scraper, which uses the namespace until it has ended.
func startScraper(namespace *sharedNamespace, metrics config.Metrics) *scraper {
	ctx, cancel := context.WithCancel(context.Background())

	s := &scraper{cancel: cancel, stats: unavailableApplication("no answer yet")}

	namespace.use(func() {
		task.Run(ctx, "follow the application metrics", func() {
			s.run(ctx, gometrics.NewClient(namespace.Dial, int(metrics.Port.Number)), metrics)
		})
	})

	return s
}

// stop cancels a request and asks no more. It does not wait for the end: the samples go on.
func (s *scraper) stop() { s.cancel() }

// latest is the newest answer. It never waits for one.
func (s *scraper) latest() resources.ApplicationStats {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.stats
}

func (s *scraper) run(ctx context.Context, client *gometrics.Client, metrics config.Metrics) {
	defer client.Close()

	ticker := time.NewTicker(metrics.Interval.Duration)
	defer ticker.Stop()

	application := newApplication()

	for {
		var answer gometrics.Metrics

		err := task.Step("read the application metrics", func() (err error) {
			answer, err = client.Metrics(ctx, metrics.Path)

			return err
		})
		if err != nil {
			answer = gometrics.Unavailable(err.Error())
		}

		stats := application.add(boottime.Now(), answer)

		s.mu.Lock()
		s.stats = stats
		s.mu.Unlock()

		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
