// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// TestCeilingController_NoCeilingWaitsForTheFileSystem: a file system that hangs costs the evidence only, also with a profile.
func TestCeilingController_NoCeilingWaitsForTheFileSystem(t *testing.T) {
	for name, document := range map[string]string{
		"metrics": "interval: 100ms\nevidence: {limit: 64Ki}\n",
		"profile": "interval: 100ms\nevidence: {profile: 1s}\n",
	} {
		t.Run(name, func(t *testing.T) {
			target := &asked{handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "text") }}
			e := newEnforcing(t, document, enforcetest.Unlimited, func(e *enforcing) {
				e.c.Evidence = &record.Evidence{Dir: t.TempDir()}
				e.c.Source = func(resources.TargetSpec) observe.Source {
					return observe.Source{Namespace: func() (observe.Namespace, error) { return target, nil }}
				}
				e.c.begin()
				e.c.enforcer.evidence.create = func(string, config.Evidence) (*record.Folder, error) { select {} }
			})

			e.desire(500, "R", "r")
			assert.Equal(t, notSaved, e.applied().Evidence)
			assert.Equal(t, atCeiling, e.cgroup.CPUMax())

			e.desire(0, "", "")
			require.Eventually(t, func() bool { return e.cgroup.CPUMax() == enforcetest.Unlimited }, patience, time.Millisecond)

			e.desire(500, "R", "r")
			require.Eventually(t, func() bool { return e.cgroup.CPUMax() == atCeiling }, patience, time.Millisecond)

			e.end()
			require.NoError(t, e.c.Stop())
		})
	}
}

// TestEvidenceTaker_SaysWhatIsSavedLate: an action does not say that there is no evidence while it is being saved. The log and the next
// action of the hold say where it is.
func TestEvidenceTaker_SaysWhatIsSavedLate(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	target := &asked{handler: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "after 1\n") }}
	e, _, dir := taking(t, target)
	create, recovered := e.create, make(chan struct{})
	e.create = func(target string, cfg config.Evidence) (*record.Folder, error) {
		<-recovered

		return create(target, cfg)
	}

	e.feed.Put(targetID, &resources.TargetStatsSpec{ContainerID: "c1"}, observe.Answer{Clock: boottime.Now(), Text: []byte("before 1\n")})

	take := func(id string) string {
		clear(e.due)

		desired := &decide.DesiredCeiling{Millicores: 500, Rule: "R", Since: 1}
		require.True(t, e.prepare(id, resources.TargetSpec{ContainerID: "c1"}, desired, false, config.Default(), zap.New(core)))

		actions := []resources.GuardActionSpec{{Action: resources.ActionApply, Target: id, Clock: boottime.Now()}}
		e.keep(actions)

		return actions[0].Evidence
	}

	e.timeout = time.Millisecond

	assert.Equal(t, notSaved, take(targetID))

	e.timeout = time.Hour // an action that waits for what hangs already never ends

	for _, id := range []string{"a/2/c", "a/3/c", "a/4/c"} {
		assert.Equal(t, notSaved, take(id))
	}

	assert.Equal(t, "none: 4 earlier captures are not saved yet", take("a/5/c"))
	assert.Equal(t, notSaved, take(targetID), "it is not saved twice")
	assert.Zero(t, logs.Len())

	close(recovered)
	require.Eventually(t, func() bool { return logs.Len() == record.EvidenceKept }, patience, time.Millisecond)

	complete := func() bool {
		found, err := filepath.Glob(filepath.Join(dir, "*", metricsAfter))
		require.NoError(t, err)

		return len(found) == record.EvidenceKept
	}
	require.Eventually(t, complete, patience, time.Millisecond)

	found, err := filepath.Glob(filepath.Join(dir, "*-spegel_*"))
	require.NoError(t, err)
	require.Len(t, found, 1)

	late := logs.FilterMessage("saving the evidence of a ceiling took longer than its action waited").FilterField(zap.String("target", targetID)).All()
	require.Len(t, late, 1)
	assert.Contains(t, late[0].ContextMap()["evidence"], found[0]+" (metrics-before.txt is ")

	assert.Equal(t, found[0]+" (from an earlier action of the hold)", take(targetID))
	assert.Contains(t, take("a/5/c"), "metrics-after.txt follows", "the file system has recovered")
	require.Eventually(t, complete, patience, time.Millisecond)
}
