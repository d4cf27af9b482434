// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"math/rand/v2"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// Event is what a sample led to.
type Event string

// Events.
const (
	// EventTrip: a ceiling is wanted from now on.
	EventTrip Event = "trip"
	// EventStepDown and EventRelax: the wanted ceiling is another one.
	EventStepDown Event = "step-down"
	EventRelax    Event = "relax"
	// EventProbe: the hold is over and the workload is throttled; the ceiling is lifted to measure its demand.
	EventProbe Event = "probe"
	// EventRetrip: the probe found the breach going on, or nothing at all; the ceiling is wanted again.
	EventRetrip Event = "retrip"
	// EventRelease: no ceiling is wanted any more.
	EventRelease Event = "release"
)

// Decision is the outcome of one sample.
type Decision struct {
	// Held tells that there is a Hold.
	Held bool
	Hold Hold
	// Event is empty when nothing changed.
	Event Event
	// ThrottledRatio is the share of enforcement periods with throttling (0..1). Throttled: the quota holds the
	// workload back so much that its use does not show its demand.
	ThrottledRatio float64
	Throttled      bool
	// ReleasesIn is the time left until release if all stays quiet; 0 without a hold.
	ReleasesIn time.Duration
	// Rules in the configuration's order. The slice is the engine's and valid until the next step.
	Rules []RuleStatus
	// Verdict on the ceiling that was lifted, or nil. A release by quiet has two: at once, and again
	// when there is an afterwards to compare with.
	Verdict *Verdict
}

// Options of an engine.
type Options struct {
	// Seed draws where the credits start. Different nodes should have different ones.
	Seed uint64
	// Memory of an engine before this one; the zero Memory is none.
	Memory Memory
}

// Memory is what outlives an engine: a configuration's change, the guard's restart.
type Memory struct {
	// Hold that is to go on; the zero Hold is none.
	Hold Hold `json:"hold,omitzero"`
	// Level of the back-off: how many trips are not forgotten.
	Level int `json:"level,omitempty"`
	// Freed is when the last hold ended.
	Freed time.Duration `json:"freed,omitempty"`
}

// At is the memory when nobody looked until now: a hold that is over is not gone on with. A probe
// is such a hold, for it begins at the hold's end.
func (m Memory) At(now time.Duration) Memory {
	if m.Hold.Rule != "" && now >= m.Hold.Until {
		m.Freed, m.Hold = m.Hold.Until, Hold{}
	}

	return m
}

// IsZero tells that there is nothing to remember.
func (m Memory) IsZero() bool { return m == Memory{} }

// Engine decides for one workload.
type Engine struct {
	ceiling config.Ceiling
	rules   []rule
	status  []RuleStatus

	demand   demand
	odometer odometer
	history  history
	backoff  backoff
	trial    trial

	started  bool
	last     time.Duration
	held     bool
	hold     Hold
	quietFor time.Duration
	// throttled: see Decision.Throttled, for the newest sample.
	throttled bool
	// underFor is how long no rule was above its threshold while the workload was not throttled. Quiet demands more.
	underFor time.Duration
	// changedAt is when the wanted ceiling last changed, probeEnd when the probe ends, and judgeAt
	// when the verdict on a release is due.
	changedAt, probeEnd, judgeAt time.Duration
	decision                     Decision
}

// New returns an engine with an empty history.
func New(cfg config.Config, options Options) *Engine {
	e := &Engine{
		ceiling: cfg.Ceiling, held: options.Memory.Hold.Rule != "", hold: options.Memory.Hold,
		backoff: backoff{
			hold: cfg.Ceiling.Hold.Duration, config: cfg.Ceiling.Backoff,
			level: max(0, options.Memory.Level), freed: options.Memory.Freed,
		},
	}

	random := rand.New(rand.NewPCG(options.Seed, 0)) //nolint:gosec // no secret: it must come out the same again

	var longest time.Duration

	for _, ruleConfig := range cfg.Rules {
		enforced := cfg.Mode != config.ModeObserve && ruleConfig.Mode != config.ModeObserve
		e.rules = append(e.rules, newRule(ruleConfig, enforced, random.Float64()))
		longest = max(longest, ruleConfig.Window.Duration)
	}

	e.status = make([]RuleStatus, len(e.rules))
	e.demand = newDemand(longest)
	e.history.span = longest

	if e.held {
		// A journal alone does not tell it.
		if e.backoff.level == 0 && !e.hold.Observe {
			e.backoff.takeOver(e.hold.Until - e.hold.Since)
		}

		e.hold.Probing = false

		if e.hold.Millicores == 0 || cfg.Ceiling.Strategy == config.StrategyFixed {
			e.hold.Millicores = cfg.Ceiling.CPU.Millicores
		}
	}

	if e.held {
		e.try(e.ruleNamed(e.hold.Rule))
	}

	e.decision = Decision{Held: e.held, Hold: e.hold}

	return e
}

// Memory is what the next engine for the same workload is to know.
func (e *Engine) Memory() Memory {
	memory := Memory{Level: e.backoff.level, Freed: e.backoff.freed}
	if e.held {
		memory.Hold = e.hold
	}

	return memory
}

// Restart forgets the counters but no decision: the workload has a new container, whose counters begin at zero.
func (e *Engine) Restart() {
	for i := range e.rules {
		e.rules[i].reset()
	}

	e.demand.reset()
	e.odometer.known = false
	e.quietFor, e.underFor = 0, 0
}

// Step takes the next sample. One that is not newer than the last changes nothing.
func (e *Engine) Step(sample Sample) Decision {
	if e.started && sample.At <= e.last {
		unchanged := e.decision
		unchanged.Event, unchanged.Verdict = "", nil

		return unchanged
	}

	passed := sample.At - e.last
	if !e.started {
		passed = 0
	}

	e.started, e.last = true, sample.At
	e.decision = Decision{}

	firing := e.stepRules(&sample)
	e.account(&sample, passed)

	switch {
	case sample.Suspended:
		if e.held {
			e.release(sample.At)
		}
	case !e.held || e.hold.Observe && firing != nil && firing.enforced:
		if firing != nil {
			e.trip(&sample, firing)
		}
	case e.hold.Probing:
		e.probe(sample.At)
	default:
		e.keep(&sample)
	}

	e.judge(sample.At)

	return e.conclude(sample.At)
}

// stepRules moves every rule and returns the first that fires, one that is enforced before one that is not.
// One that fired while a person had ceilings suspended counts only as long as it is above its threshold.
func (e *Engine) stepRules(sample *Sample) *rule {
	var firing *rule

	for i := range e.rules {
		r := &e.rules[i]
		r.step(sample, e.ceiling.ReleaseAfter.Duration)

		if r.state == StateFiring && r.unavailable == "" && r.isAbove() && (firing == nil || r.enforced && !firing.enforced) {
			firing = r
		}
	}

	return firing
}

// account brings demand, quiet time and totals up to date.
func (e *Engine) account(sample *Sample, passed time.Duration) {
	if sample.CPU.Unavailable == "" {
		e.demand.add(sample)
	} else {
		e.demand.reset()
	}

	e.throttled = e.demand.isThrottled()

	e.odometer.add(sample)
	e.history.add(e.odometer.total)

	// Time that nobody saw was not quiet.
	passed = min(passed, e.history.span)
	e.quietFor = lengthen(e.quietFor, passed, e.quiet(sample))
	e.underFor = lengthen(e.underFor, passed, e.under(sample))

	if e.held && e.hold.Enforced() {
		floor := e.hold.Millicores <= e.ceiling.Floor.Millicores
		e.trial.watch(sample, passed, floor && e.throttled)
	}
}

func lengthen(d, by time.Duration, on bool) time.Duration {
	if !on {
		return 0
	}

	return d + by
}

// under: no rule is above its threshold, and the workload is not throttled.
func (e *Engine) under(sample *Sample) bool {
	if sample.CPU.Unavailable != "" || e.throttled {
		return false
	}

	for i := range e.rules {
		if r := &e.rules[i]; r.enforced && r.unavailable == "" && r.isAbove() {
			return false
		}
	}

	return true
}

// quiet: no rule has a reason for the ceiling, and the workload is not throttled by it.
func (e *Engine) quiet(sample *Sample) bool {
	if sample.CPU.Unavailable != "" || e.held && e.hold.Enforced() && e.throttled {
		return false
	}

	for i := range e.rules {
		if r := &e.rules[i]; (r.enforced || e.hold.Observe) && !r.quiet() {
			return false
		}
	}

	return true
}

func (e *Engine) conclude(at time.Duration) Decision {
	for i := range e.rules {
		e.status[i] = e.rules[i].status()
	}

	e.decision.Held, e.decision.Hold = e.held, e.hold
	e.decision.ThrottledRatio, e.decision.Throttled = e.demand.share(), e.throttled
	e.decision.Rules = e.status

	if e.held {
		e.decision.ReleasesIn = max(0, e.ceiling.ReleaseAfter.Duration-e.quietFor, e.hold.Until-at)
	}

	return e.decision
}
