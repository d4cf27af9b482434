// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
	"github.com/spegel-guard/spegel-guard/test/hostile"
)

// asked is a namespace with a target that notes what it is asked for. A nil handler refuses connections.
type asked struct {
	handler http.HandlerFunc

	mu    sync.Mutex
	paths []string
}

func (a *asked) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if a.handler == nil {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}

	return hostile.Dial(a)(ctx, network, address)
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.paths = append(a.paths, r.URL.Path)
	a.mu.Unlock()

	a.handler(w, r)
}

func (a *asked) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()

	return append([]string{}, a.paths...)
}

func (*asked) Links() (observe.LinksReader, error) { return nil, nil }
func (*asked) Close()                              {}

// withEvidence starts an enforcer whose target gave an answer and can be asked. It returns the folder of the evidence.
func withEvidence(t *testing.T, document string, target *asked, answer observe.Answer) (*enforcing, string) {
	t.Helper()

	dir := t.TempDir()

	return newEnforcing(t, document, enforcetest.Unlimited, func(e *enforcing) {
		e.c.Evidence = &record.Evidence{Dir: dir}
		e.c.Feed.Put(targetID, &resources.TargetStatsSpec{ContainerID: "c1"}, answer)
		e.c.Source = func(resources.TargetSpec) observe.Source {
			return observe.Source{Namespace: func() (observe.Namespace, error) { return target, nil }}
		}
	}), dir
}

func (e *enforcing) applied() resources.GuardActionSpec {
	e.t.Helper()

	require.Eventually(e.t, func() bool { return len(e.actions()) == 1 }, patience, time.Millisecond)
	assert.Equal(e.t, resources.ActionApply, e.actions()[0].Action)

	return e.actions()[0]
}

// saved waits for a file of the only capture in a folder.
func saved(t *testing.T, dir, name, want string) {
	t.Helper()

	require.Eventually(t, func() bool {
		found, err := filepath.Glob(filepath.Join(dir, "*", name))
		require.NoError(t, err)

		if len(found) != 1 {
			return false
		}

		data, err := os.ReadFile(found[0])

		return err == nil && string(data) == want
	}, patience, time.Millisecond, name)
}

// TestCeilingController_EvidenceDelaysNoCeiling: whatever the target does, it is asked after the write of its ceiling.
func TestCeilingController_EvidenceDelaysNoCeiling(t *testing.T) {
	ended := make(chan struct{})
	defer close(ended)

	for name, test := range map[string]struct {
		handler http.HandlerFunc
		answer  observe.Answer
		text    string
		after   string
	}{
		"answers": {
			handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "after 1\n") },
			answer:  observe.Answer{Text: []byte("before 1\n")}, after: "after 1\n",
			text: "(metrics-before.txt is 4.2s older than the ceiling, metrics-after.txt follows)",
		},
		"never answers": {
			handler: func(http.ResponseWriter, *http.Request) { <-ended },
			answer:  observe.Answer{Text: []byte("before 1\n")},
			text:    "(metrics-before.txt is 4.2s older than the ceiling, metrics-after.txt follows)",
		},
		"refuses": {
			answer: observe.Answer{Text: []byte("before 1\n")},
			text:   "(metrics-before.txt is 4.2s older than the ceiling, metrics-after.txt follows)",
		},
		"first answer after the ceiling": {
			handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "after 1\n") },
			answer:  observe.Answer{Unavailable: "the target has not answered yet"}, after: "after 1\n",
			text: "(no metrics-before.txt: the target has not answered yet, metrics-after.txt follows)",
		},
		"answer larger than the limit": {
			handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "after 1\n") },
			answer:  observe.Answer{Text: []byte(strings.Repeat("x", 64<<10+1))}, after: "after 1\n",
			text: "(no metrics-before.txt: 65537 bytes are more than evidence.limit, 65536 bytes, metrics-after.txt follows)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := &asked{handler: test.handler}
			test.answer.Clock = boottime.Now() - 4200*time.Millisecond

			e, dir := withEvidence(t, "interval: 100ms\nevidence: {limit: 64Ki}\n", target, test.answer)

			var before []string

			e.cgroup.OnApply(func() { before = target.seen() })
			e.desire(500, "R", "r")
			action := e.applied()
			assert.Equal(t, atCeiling, e.cgroup.CPUMax())
			assert.Empty(t, before, "requests before the write")

			folder, text, _ := strings.Cut(action.Evidence, " ")
			assert.Equal(t, dir, filepath.Dir(folder))
			assert.Equal(t, strings.ReplaceAll(test.text, "4.2s", age(text)), text)

			if test.answer.Unavailable == "" && len(test.answer.Text) < 64<<10 {
				saved(t, dir, metricsBefore, string(test.answer.Text))
			}

			if test.after != "" {
				saved(t, dir, metricsAfter, test.after)
			}

			e.end()
			require.NoError(t, e.c.Stop())
		})
	}
}

// age is the age of an answer in a text if it is at least 4.2s: the test may have been slow.
func age(text string) string {
	_, rest, _ := strings.Cut(text, " is ")
	found, _, _ := strings.Cut(rest, " older")

	if parsed, err := time.ParseDuration(found); err != nil || parsed < 4200*time.Millisecond {
		return "4.2s"
	}

	return found
}

// TestCeilingController_ProfilePrecedesCeiling: the ceiling waits for the profile that is configured, and for nothing else.
func TestCeilingController_ProfilePrecedesCeiling(t *testing.T) {
	const profile, metrics = "/debug/pprof/profile", "/metrics"

	for name, test := range map[string]struct {
		status int
		text   string
	}{
		"profile":    {http.StatusOK, "(cpu-before.pprof, metrics-before.txt is "},
		"no profile": {http.StatusNotFound, "(no cpu-before.pprof: failed to read " + profile},
	} {
		t.Run(name, func(t *testing.T) {
			target := &asked{handler: func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == profile {
					w.WriteHeader(test.status)
				}

				io.WriteString(w, r.URL.Path)
			}}

			e, dir := withEvidence(t, "interval: 100ms\nevidence: {profile: 1s}\n", target,
				observe.Answer{Clock: boottime.Now(), Text: []byte("before 1\n")})

			var before []string

			e.cgroup.OnApply(func() { before = target.seen() })
			e.desire(500, "R", "r")
			assert.Contains(t, e.applied().Evidence, test.text)
			assert.Equal(t, []string{profile}, before, "requests before the write")

			saved(t, dir, metricsBefore, "before 1\n")
			saved(t, dir, metricsAfter, metrics)

			if test.status == http.StatusOK {
				saved(t, dir, profileBefore, profile)
			}

			e.end()
			require.NoError(t, e.c.Stop())
		})
	}
}
