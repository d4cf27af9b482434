// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

func TestEngine_AdoptsHold(t *testing.T) {
	until := 7 * time.Minute
	hold := policy.Hold{Rule: "SpegelHighCPU", Since: -13 * time.Minute, Until: until}
	l := &plant.Loop{Engine: policy.New(config.Default().Policy(), policy.Options{Saved: policy.SavedState{Hold: hold}}), Step: time.Second}
	r := &recorder{}

	l.Run(13*time.Minute, 0.01, r.see)
	require.Equal(t, []policy.Event{policy.EventRelease}, r.events())
	assert.Equal(t, until, r.changes[0].at)
	require.Len(t, r.verdicts, 1)
	assert.Equal(t, policy.OutcomeEnded, r.verdicts[0].Outcome)

	// It had been the second: the next is the third.
	l.Run(12*time.Minute, 1.8, r.see)
	assert.Equal(t, 40*time.Minute, r.last.Hold.Until-r.last.Hold.Since)
}

// TestEngine_AdoptsHoldUnderALowerCeiling: a new document may lower it while a hold goes on.
func TestEngine_AdoptsHoldUnderALowerCeiling(t *testing.T) {
	for name, test := range map[string]struct {
		strategy  string
		was, want int64
	}{
		"fixed":                      {"fixed", 1000, 300},
		"fixed, raised":              {"fixed", 200, 300},
		"adaptive":                   {"adaptive", 1000, 300},
		"adaptive, a step was taken": {"adaptive", 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse(fmt.Appendf(nil, "ceiling: {strategy: %s, cpu: 300m}", test.strategy))
			require.NoError(t, err)

			hold := policy.Hold{Rule: "SpegelHighCPU", Since: -time.Minute, Until: time.Hour, Millicores: test.was}
			l := &plant.Loop{Engine: policy.New(cfg.Policy(), policy.Options{Saved: policy.SavedState{Hold: hold}}), Step: time.Second}
			r := &recorder{}

			l.Run(time.Second, 1.8, r.see)
			require.True(t, r.last.Held)
			assert.Equal(t, test.want, r.last.Hold.Millicores)
		})
	}
}

// TestEngine_ContinuesFromSavedState: the same hold and the same back-off, whenever the engine is replaced.
func TestEngine_ContinuesFromSavedState(t *testing.T) {
	cfg, err := config.Parse([]byte(cpuRule))
	require.NoError(t, err)

	l, r := newLoop(t, cpuRule), &recorder{}
	restart := func() {
		l.Engine = policy.New(cfg.Policy(), policy.Options{Saved: l.Engine.SavedState().At(l.Plant.Sample.At)})
	}

	for n := range 3 {
		l.Run(12*time.Minute, 1.8, r.see)
		require.True(t, r.last.Held)

		want := r.last.Hold
		assert.Equal(t, cfg.Ceiling.Hold.Duration<<n, want.Until-want.Since, "the back-off goes on")

		restart()
		l.Run(time.Second, 1.8, r.see)
		assert.Equal(t, want, r.last.Hold)

		l.Run(time.Hour, 0.01, r.see)
		require.False(t, r.last.Held)

		restart()
		l.Run(time.Minute, 0.01, r.see)
		require.False(t, r.last.Held, "a hold that ended is no hold")
	}
}

// TestSavedState_EndsHoldThatIsOver forgets the hold, and so a probe, but not how often there was one.
func TestSavedState_EndsHoldThatIsOver(t *testing.T) {
	saved := policy.SavedState{Hold: policy.Hold{Rule: "r", Since: time.Minute, Until: time.Hour, Probing: true}, Level: 3}

	assert.Equal(t, saved, saved.At(time.Hour-1))
	assert.Equal(t, policy.SavedState{Level: 3, Released: time.Hour}, saved.At(time.Hour))
	assert.True(t, policy.SavedState{}.IsZero())
	assert.False(t, saved.IsZero())
}

// TestEngine_KeepsCeilingOfRestartedContainer: the decision belongs to the workload.
func TestEngine_KeepsCeilingOfRestartedContainer(t *testing.T) {
	l, r := newLoop(t, cpuRule), &recorder{}

	l.Run(11*time.Minute, 1.8, r.see)
	require.True(t, r.last.Held)

	l.Engine.Restart()

	l.Plant.Sample = policy.Sample{At: l.Plant.Sample.At}

	l.Run(10*time.Second, 1.8, func(_ policy.Sample, d policy.Decision) { assert.True(t, d.Held && d.Hold.Enforced()) })
}
