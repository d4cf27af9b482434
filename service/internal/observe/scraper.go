// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// scraper asks a target for its application metrics and its readiness beside the samples: an answer may take long.
type scraper struct {
	cancel             context.CancelFunc
	config             config.Metrics
	metrics, readiness *gometrics.Client
	// listenPort is Source.ListenPort.
	listenPort func(flag string) (uint16, error)

	mu     sync.Mutex
	stats  resources.ApplicationStats
	answer Answer
}

// startScraper starts a scraper, which uses the namespace until it has ended.
func startScraper(namespace *sharedNamespace, cfg config.Metrics, listenPort func(flag string) (uint16, error)) *scraper {
	ctx, cancel := context.WithCancel(context.Background())

	s := &scraper{
		cancel: cancel, config: cfg, listenPort: listenPort, stats: unavailableApplication("no answer yet", "no answer yet"), answer: noAnswer,
		metrics:   gometrics.NewClient(namespace.Dial, int(cfg.Port.Number)),
		readiness: gometrics.NewClient(namespace.Dial, int(cfg.Readiness.Port.Number)),
	}

	namespace.use(func() {
		task.Run(ctx, "follow the application metrics", func() { s.run(ctx) })
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

// lastAnswer is the newest answer of /metrics as it was received. It never waits for one.
func (s *scraper) lastAnswer() Answer {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.answer
}

func (s *scraper) run(ctx context.Context) {
	defer s.metrics.Close()
	defer s.readiness.Close()

	ticker := time.NewTicker(s.config.Interval.Duration)
	defer ticker.Stop()

	application := newApplication()

	for {
		// The values are newer than the request: one that began in a probe covers nothing before it.
		clock := boottime.Now()
		answer, ready := s.readMetrics(ctx), s.readReadiness(ctx)
		stats := application.add(clock, answer, ready)

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

func (s *scraper) readMetrics(ctx context.Context) (answer gometrics.Metrics) {
	port := s.config.Port.Number
	if port == 0 {
		return gometrics.Unavailable(reasonNoMetrics)
	}

	// About as long as the one before: it does not grow while it is read.
	size := len(s.lastAnswer().Text)
	copied := answerCopy{text: make([]byte, 0, size+size/16)}

	err := task.Step("read the application metrics", func() (err error) {
		answer, err = s.metrics.Metrics(ctx, s.config.Path, &copied)

		return err
	})
	if err != nil {
		return gometrics.Unavailable(s.explain(err, port, "target.metrics.port", "--metrics-addr"))
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.answer = copied.answer(boottime.Now())

	return answer
}

// readReadiness returns 1 for ready, 0 for not ready.
func (s *scraper) readReadiness(ctx context.Context) (ready gometrics.Value) {
	port := s.config.Readiness.Port.Number
	if port == 0 {
		return gometrics.Value{Unavailable: reasonNoReadiness}
	}

	err := task.Step("ask whether the target is ready", func() error {
		ok, err := s.readiness.Ready(ctx, s.config.Readiness.Path)
		if ok {
			ready.Number = 1
		}

		return err
	})
	if err != nil {
		return gometrics.Value{Unavailable: s.explain(err, port, "target.metrics.readiness.port", "--registry-addr")}
	}

	return ready
}

// explain returns the text of an error. For a connection that was refused it names the port in an argument of spegel, when that
// is not the configured one. The port is not used: the container writes its arguments.
func (s *scraper) explain(err error, port uint16, field, flag string) string {
	text := err.Error()

	if s.listenPort == nil || !errors.Is(err, syscall.ECONNREFUSED) {
		return text
	}

	var other uint16

	failed := task.Step("read the arguments of the target", func() (err error) {
		other, err = s.listenPort(flag)

		return err
	})
	if failed != nil || other == port {
		return text
	}

	return fmt.Sprintf("%s: %s is %d, and the target was started with port %d in %s", text, field, port, other, flag)
}
