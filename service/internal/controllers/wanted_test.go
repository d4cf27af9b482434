//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestOfAHoldAndAPersonsCeilingTheLowerOneCounts(t *testing.T) {
	hold := func(hold policy.Hold) policy.Decision { return policy.Decision{Held: true, Hold: hold} }
	rules := policy.Hold{Rule: "R", Since: 1, Until: 2, Millicores: 500}
	probing, observed := rules, rules
	probing.Probing, observed.Observe = true, true

	throttle := func(millicores int64) resources.OverrideSpec {
		return resources.OverrideSpec{Kind: resources.OverrideThrottle, CeilingMillicores: millicores, SinceClock: 3, UntilClock: 4}
	}

	for _, test := range []struct {
		name       string
		decision   policy.Decision
		order      resources.OverrideSpec
		rule       string
		millicores int64
	}{
		{name: "nothing"},
		{name: "a hold alone", decision: hold(rules), rule: "R", millicores: 500},
		{name: "a person's alone", order: throttle(300), rule: resources.RuleOverride, millicores: 300},
		{name: "a person's lower one", decision: hold(rules), order: throttle(300), rule: resources.RuleOverride, millicores: 300},
		{name: "a person's higher one", decision: hold(rules), order: throttle(700), rule: "R", millicores: 500},
		{name: "as low", decision: hold(rules), order: throttle(500), rule: "R", millicores: 500},
		{name: "a probe does not lift a person's", decision: hold(probing), order: throttle(700), rule: resources.RuleOverride, millicores: 700},
		{name: "an observed hold is none", decision: hold(observed), order: throttle(700), rule: resources.RuleOverride, millicores: 700},
		{name: "released", decision: hold(rules), order: resources.OverrideSpec{Kind: resources.OverrideRelease}},
		{name: "paused", decision: hold(rules), order: resources.OverrideSpec{Kind: resources.OverridePause}},
	} {
		wanted, ok := (&workload{decision: test.decision, order: test.order}).wish()
		assert.Equal(t, test.rule != "", ok, test.name)
		assert.Equal(t, test.rule, wanted.Rule, test.name)
		assert.Equal(t, test.millicores, wanted.Millicores, test.name)

		if wanted.Rule == resources.RuleOverride {
			assert.True(t, wanted.Enforced(), test.name)
			assert.Equal(t, time.Duration(4), wanted.Until, "it ends with the order")
		}
	}
}

func TestBlockersSayWhatARealeaseWaitsFor(t *testing.T) {
	d := decision(policy.StateFiring, policy.StateUnavailable, policy.StatePending)
	d.Held, d.Hold = true, policy.Hold{Rule: "SpegelHighCPU", Until: time.Hour, Millicores: 500}
	d.Throttled, d.ThrottledRatio = true, 0.42

	w := &workload{decision: d, clock: time.Minute}
	wanted, _ := w.wish()
	texts := w.blockers(wanted)

	for i, part := range []string{"the hold of SpegelHighCPU lasts until", "42 % of the periods", "SpegelHighCPU is firing: 1000m, quiet at 280m", "SpegelHighNetworkTX is unavailable: why", "SpegelCPUCredit is pending"} {
		assert.Contains(t, texts[i], part)
	}

	assert.Len(t, texts, 5)

	// All that is missing is time.
	w = &workload{decision: policy.Decision{Held: true, Hold: policy.Hold{Rule: "R"}, ReleasesIn: time.Minute}}
	wanted, _ = w.wish()
	assert.Equal(t, []string{"quiet, but not for ceiling.releaseAfter yet"}, w.blockers(wanted))
	assert.Equal(t, time.Minute, w.releasesIn())

	// A person's ceiling has its own end.
	w = &workload{order: resources.OverrideSpec{Kind: resources.OverrideThrottle, CeilingMillicores: 200, UntilClock: 3 * time.Minute}, clock: time.Minute}
	wanted, _ = w.wish()
	assert.Contains(t, w.blockers(wanted)[0], "throttled by hand until")
	assert.Equal(t, 2*time.Minute, w.releasesIn())
}

func TestStatusSaysWhatAPersonOrdered(t *testing.T) {
	applied := resources.CeilingStatusSpec{State: resources.CeilingApplied, ReadBack: "20001 100000"}
	by := resources.Person{Subject: "CN=anna"}

	throttled := &workload{order: resources.OverrideSpec{Kind: resources.OverrideThrottle, CeilingMillicores: 200, By: by, Reason: "NAS"}}
	status := targetStatus("id", throttled, applied)
	assert.Equal(t, resources.StateThrottled, status.State)
	assert.Equal(t, resources.RuleOverride, status.Rule)
	assert.Equal(t, "200m", status.Ceiling)
	assert.Regexp(t, `^throttled by hand until .* by CN=anna: NAS$`, status.Message)

	released := &workload{
		decision: decision(policy.StateFiring), order: resources.OverrideSpec{Kind: resources.OverrideRelease, By: by},
	}
	status = targetStatus("id", released, resources.CeilingStatusSpec{})
	assert.Equal(t, resources.StateFiring, status.State)
	assert.Contains(t, status.Message, "released by hand until")

	everything := orders{"a": {Kind: resources.OverrideThrottle}, resources.OverridePauseID: {Kind: resources.OverridePause}}
	assert.Equal(t, resources.OverridePause, everything.of("a").Kind, "a pause comes first")
	assert.Empty(t, orders{}.of("a").Kind)
}
