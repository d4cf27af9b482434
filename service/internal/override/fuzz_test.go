// SPDX-License-Identifier: MPL-2.0

package override

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// FuzzCheckSaved: an override that is loaded is one that a person could have set, and ends within a day.
func FuzzCheckSaved(f *testing.F) {
	const now = time.Hour

	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	seed, err := json.Marshal(resources.OverrideSpec{
		Kind: resources.OverrideThrottle, CeilingMillicores: 200, Since: at, Until: at.Add(time.Minute), SinceClock: now, UntilClock: now + time.Minute,
	})
	if err != nil {
		f.Fatal(err)
	}

	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var spec resources.OverrideSpec

		if json.Unmarshal(data, &spec) != nil {
			return
		}

		if err := checkSaved(spec, now); err != nil {
			assert.ErrorIs(t, err, policy.ErrOutOfBounds)

			return
		}

		assert.Contains(t, []string{resources.OverridePause, resources.OverrideRelease, resources.OverrideThrottle}, spec.Kind)
		assert.Equal(t, spec.Kind == resources.OverrideThrottle, spec.CeilingMillicores > 0)
		assert.LessOrEqual(t, spec.UntilClock, now+maxDuration)
		assert.NoError(t, Request{Reason: spec.Reason, For: spec.UntilClock - spec.SinceClock}.check())
	})
}
