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

	"github.com/cosi-project/runtime/pkg/state/owned"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
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
		e.waitForEvidence()
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
			text: "(metrics-before.txt is 4.2s older than the action, metrics-after.txt follows)",
		},
		"never answers": {
			handler: func(http.ResponseWriter, *http.Request) { <-ended },
			answer:  observe.Answer{Text: []byte("before 1\n")},
			text:    "(metrics-before.txt is 4.2s older than the action, metrics-after.txt follows)",
		},
		"refuses": {
			answer: observe.Answer{Text: []byte("before 1\n")},
			text:   "(metrics-before.txt is 4.2s older than the action, metrics-after.txt follows)",
		},
		"has never answered": {
			answer: observe.Answer{Unavailable: "the target has not answered yet"},
			text:   "(no metrics-before.txt: the target has not answered yet, metrics-after.txt follows)",
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
			require.NotNil(t, before)
			assert.Empty(t, before, "requests before the write")

			folder, text, _ := strings.Cut(action.Evidence, " ")
			assert.Equal(t, dir, filepath.Dir(folder))
			assert.Equal(t, test.text, atLeast(text, 4200*time.Millisecond))

			if test.answer.Unavailable == "" && len(test.answer.Text) < 64<<10 {
				saved(t, dir, metricsBefore, string(test.answer.Text))
			}

			if test.after != "" {
				saved(t, dir, metricsAfter, test.after)
			}

			e.end()

			if test.after == "" {
				require.Eventually(t, func() bool {
					reason, err := os.ReadFile(filepath.Join(folder, afterFailed))

					return err == nil && strings.HasPrefix(string(reason), "failed to read /metrics: ")
				}, patience, time.Millisecond, "the reason in the folder that the action names")
			}

			require.NoError(t, e.c.Stop())
		})
	}
}

// atLeast returns a text with an age rounded down to least if it is not less: a test may be slow.
func atLeast(text string, least time.Duration) string {
	_, rest, _ := strings.Cut(text, " is ")
	found, _, _ := strings.Cut(rest, " older")

	if age, err := time.ParseDuration(found); err == nil && age >= least {
		return strings.Replace(text, found, least.String(), 1)
	}

	return text
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

// taking is an evidenceTaker whose target can be asked, and a desired ceiling. Each answer is put as the newest one.
func taking(t *testing.T, target *asked) (e *evidenceTaker, prepare func(answer string, age time.Duration), dir string) {
	t.Helper()

	dir = t.TempDir()
	taker := newEvidenceTaker(&CeilingController{
		Evidence: &record.Evidence{Dir: dir}, Feed: observe.NewFeed(), Source: func(resources.TargetSpec) observe.Source {
			return observe.Source{Namespace: func() (observe.Namespace, error) { return target, nil }}
		},
	})
	taker.timeout = patience
	e = &taker
	desired := &decide.DesiredCeiling{Millicores: 500, Rule: "R", Since: 1}

	return e, func(answer string, age time.Duration) {
		e.feed.Put(targetID, &resources.TargetStatsSpec{ContainerID: "c1"}, observe.Answer{Clock: boottime.Now() - age, Text: []byte(answer)})
		clear(e.due)
		require.True(t, e.prepare(targetID, resources.TargetSpec{ContainerID: "c1"}, desired, false, config.Default(), zap.NewNop()))
	}, dir
}

// keptBy returns what an action of a kind says, taken now.
func (e *evidenceTaker) keptBy(kind string) string {
	actions := []resources.GuardActionSpec{{Action: kind, Target: targetID, Clock: boottime.Now()}}
	e.keep(actions)

	return actions[0].Evidence
}

// TestEvidenceTaker_KeepsWhatBelongsToTheAction: nothing is saved and asked for until there is a ceiling. What is from before it is the
// newest answer at the write that succeeds, and the actions after it do not say that it is theirs.
func TestEvidenceTaker_KeepsWhatBelongsToTheAction(t *testing.T) {
	for _, kind := range []string{resources.ActionApply, resources.ActionObserve} {
		t.Run(kind, func(t *testing.T) {
			target := &asked{handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "after 1\n") }}
			e, prepare, dir := taking(t, target)

			prepare("at the trip 1\n", time.Hour)
			assert.Empty(t, e.keptBy(resources.ActionFail))
			assert.Empty(t, e.keptBy(resources.ActionRelease))
			e.keep(nil) // the owner's limit is as low

			files, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, files)
			assert.Empty(t, target.seen())

			prepare("at the second attempt 1\n", time.Minute)

			folder, text, _ := strings.Cut(e.keptBy(kind), " ")
			assert.Equal(t, "(metrics-before.txt is 1m0s older than the action, metrics-after.txt follows)", atLeast(text, time.Minute))
			saved(t, dir, metricsBefore, "at the second attempt 1\n")
			saved(t, dir, metricsAfter, "after 1\n")

			prepare("under the ceiling 1\n", 0)
			assert.Equal(t, folder+" (from an earlier action of the hold)", e.keptBy(resources.ActionApply))
			saved(t, dir, metricsBefore, "at the second attempt 1\n")
			assert.Equal(t, []string{"/metrics"}, target.seen())
		})
	}
}

// TestEnforcer_WritesAllCeilingsBeforeFiles: the evidence of one target does not delay the ceiling of another.
func TestEnforcer_WritesAllCeilingsBeforeFiles(t *testing.T) {
	dir, node := t.TempDir(), enforcetest.NewNode()
	inputs := ceilingInputs{targets: map[string]resources.TargetSpec{}, desired: map[string]*resources.DesiredCeilingSpec{}}
	written := 0

	for _, id := range []string{"a/1/c", "a/2/c", "a/3/c"} {
		node.Create(id, enforcetest.Unlimited, 7).OnApply(func() {
			written++

			files, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, files)
		})

		inputs.targets[id] = resources.TargetSpec{ContainerID: id, Cgroup: id, CgroupInode: 7}
		inputs.desired[id] = &resources.DesiredCeilingSpec{CeilingMillicores: 500, FloorMillicores: 100, Rule: "R", SinceClock: 1, HoldUntilClock: time.Hour}
	}

	st := newState(t)
	e := newEnforcer(&CeilingController{
		Node: node.Enforce(), Orphans: enforce.NewOrphans(node.Enforce(), &lock{}, zap.NewNop()), Feed: observe.NewFeed(),
		Evidence: &record.Evidence{Dir: dir}, Source: hostSource, Reaction: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "r"}),
	})
	e.evidence.feed.Put("a/1/c", &resources.TargetStatsSpec{ContainerID: "a/1/c"}, observe.Answer{Clock: 1, Text: []byte("before 1\n")})

	actions, err := e.reconcile(t.Context(), owned.New(st, "guard.CeilingController"), inputs, config.Default(), zap.NewNop())
	require.NoError(t, err)
	assert.Equal(t, 3, written)
	require.Len(t, actions, 3)
	saved(t, dir, metricsBefore, "before 1\n")
}

// TestEvidenceTaker_NamesNoOtherHold: the evidence of a hold is not that of an action for which none was prepared.
func TestEvidenceTaker_NamesNoOtherHold(t *testing.T) {
	e, prepare, dir := taking(t, &asked{handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "after 1\n") }})

	prepare("before 1\n", 0)
	require.NotEmpty(t, e.keptBy(resources.ActionApply))
	saved(t, dir, metricsAfter, "after 1\n")

	clear(e.due)
	assert.Empty(t, e.keptBy(resources.ActionApply))
}
