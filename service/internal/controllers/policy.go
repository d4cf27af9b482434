//go:build linux

package controllers

import (
	"context"
	"maps"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// retention is how long what is known of a workload waits for its next container.
const retention = time.Hour

// PolicyController feeds the samples to the decision core and publishes what it decides.
//
// It is woken by each sample, and by changes of what else it looks at. A sample that changes nothing costs no
// look at the state and no allocation.
type PolicyController struct {
	// Feed has the samples.
	Feed *observe.Feed
	// Memory keeps the decisions over the guard's restarts.
	Memory persist.File[persist.Workload]
	// Remembered of an earlier process, by workload; each is taken up when its workload is seen.
	Remembered map[string]persist.Workload
	// Urgent wakes who acts on wanted ceilings, when one has changed: its watch would take longer to tell. nil leaves
	// it at that.
	Urgent func()
	// Seed of the credits, another one on each node.
	Seed uint64
	// History takes the samples, for the API.
	History *record.History
	// Active is the configuration in force.
	Active *config.Active

	config    activeConfig
	recorder  recorder
	workloads map[string]*workload
	// latest are the newest samples, and around what the state said when it last changed.
	latest map[string]*resources.TargetStatsSpec
	around surroundings
	// written is what Memory holds, and startedAt when this process began.
	written   map[string]persist.Workload
	startedAt time.Duration
	// clock is CLOCK_BOOTTIME, or a test's.
	clock func() time.Duration
}

// Name implements controller.Controller.
func (*PolicyController) Name() string { return "guard.PolicyController" }

// Inputs implements controller.Controller.
func (*PolicyController) Inputs() []controller.Input {
	return []controller.Input{
		weak(resources.GuardConfigType), weak(resources.CeilingStatusType), weak(resources.ConditionType), weak(resources.OverrideType),
	}
}

// Outputs implements controller.Controller.
func (*PolicyController) Outputs() []controller.Output {
	return []controller.Output{
		{Type: resources.RuleStatusType, Kind: controller.OutputExclusive},
		{Type: resources.DesiredCeilingType, Kind: controller.OutputExclusive},
		{Type: resources.GuardStatusType, Kind: controller.OutputExclusive},
		{Type: resources.VerdictType, Kind: controller.OutputExclusive},
	}
}

// Run implements controller.Controller.
func (c *PolicyController) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	c.begin()

	defer c.recorder.close()

	for {
		looked := false

		select {
		case <-ctx.Done():
			return nil
		case <-c.Feed.News():
		case <-r.EventCh():
			looked = true

			if err := c.look(ctx, r); err != nil {
				return unlessStopped(err)
			}
		}

		if err := c.reconcile(ctx, r, looked, logger); err != nil {
			return unlessStopped(err)
		}

		r.ResetRestartBackoff()
	}
}

// begin is for the first Run; one after an error goes on.
func (c *PolicyController) begin() {
	c.config.Active = c.Active

	if c.workloads == nil {
		c.workloads, c.startedAt, c.clock = map[string]*workload{}, boottime.Now(), boottime.Now
		c.latest = map[string]*resources.TargetStatsSpec{}
	}
}

// look takes in what has changed beside the samples.
func (c *PolicyController) look(ctx context.Context, r controller.ReaderWriter) error {
	changed, ok, err := c.config.read(ctx, r)
	if err != nil || !ok {
		return err
	}

	if changed {
		if err := c.reconfigure(ctx, r); err != nil {
			c.config.document = "" // it is read, and taken, again

			return err
		}
	}

	c.around, err = lookAround(ctx, r)

	return err
}

// reconcile takes the samples that came, and publishes what is news. looked tells that something else changed, too.
func (c *PolicyController) reconcile(ctx context.Context, r controller.Writer, looked bool, logger *zap.Logger) error {
	if c.config.document == "" {
		return nil
	}

	c.Feed.Update(c.latest)

	orders := c.around.orders.at(c.clock())
	// Orders end by themselves, and nobody tells.
	expired := c.around.expired(orders)
	news := looked || expired || len(orders) > 0

	for id, stats := range c.latest {
		w := c.step(id, stats, c.around.owners[id], orders.of(id), logger)
		gaveWay := w.giveWay(c.around.ceilings[id], c.config.Ceiling.Conflict)

		// Before it is published, and so before anything is done about it. What a journal told of a workload
		// is news to the memory.
		if gaveWay || !w.known || w.decision.Event != "" {
			w.known = true
			c.remember(logger)
		}

		published, err := c.publish(ctx, r, id, w)

		// After it is published: a ceiling does not wait for the log.
		if w.unsaid {
			w.unsaid = false
			logDecision(c.about(logger, id), w.before, w.decision)
		}

		if err != nil {
			return err
		}

		news = news || published
	}

	withdrawn, err := c.withdraw(ctx, r)
	if err != nil {
		return err
	}

	if !news && !withdrawn {
		return nil
	}

	return c.publishStatus(ctx, r, orders, logger)
}

// reconfigure starts every history anew under the new rules; a hold in force stays.
func (c *PolicyController) reconfigure(ctx context.Context, r controller.Writer) error {
	for _, w := range c.workloads {
		// Its rules may be others from now on.
		if err := w.withdrawRules(ctx, r); err != nil {
			return err
		}

		w.engine = c.newEngine(w.engine.SavedState())
		w.clock = 0
	}

	c.recorder.configure(c.config.Trace, trace.Header{Version: trace.Version, Config: c.config.document, Seed: c.Seed})

	return nil
}

func (c *PolicyController) newEngine(saved policy.SavedState) *policy.Engine {
	return policy.New(c.config.Policy(), policy.Options{Seed: c.Seed, Saved: saved})
}

// remember writes down what the next process is to know, when it is not what the file says already.
func (c *PolicyController) remember(logger *zap.Logger) {
	known := maps.Clone(c.Remembered)
	if known == nil {
		known = map[string]persist.Workload{}
	}

	for id, w := range c.workloads {
		known[id] = persist.Workload{SavedState: w.engine.SavedState(), Yielded: w.yielded}
	}

	if maps.Equal(known, c.written) {
		return
	}

	// Without it a restart knows less; guarding goes on.
	if err := c.Memory.Save(known); err != nil {
		logger.Error("decisions are not remembered over a restart", zap.Error(err))
	}

	c.written = known
}

// publish makes the resources of a workload what it is now. It tells whether any of it is news.
func (c *PolicyController) publish(ctx context.Context, r controller.Writer, id string, w *workload) (bool, error) {
	// What is acted upon comes first.
	wanted, err := c.publishWanted(ctx, r, id, w)
	if err != nil {
		return false, err
	}

	if w.decision.Event != "" && c.Urgent != nil {
		c.Urgent()
	}

	news, err := c.publishRules(ctx, r, id, w)
	if err != nil {
		return false, err
	}

	return news || wanted, w.publishVerdict(ctx, r, id)
}

// withdraw removes the resources of workloads whose container is gone, and forgets those that have been gone for
// a while. Not at once, because a restarted container must not run free, nor with new credit and an empty back-off.
// It tells whether there was something to remove.
func (c *PolicyController) withdraw(ctx context.Context, r controller.Writer) (bool, error) {
	now, news := c.clock(), false

	for id, w := range c.workloads {
		if _, present := c.latest[id]; present {
			continue
		}

		switch {
		case w.lostAt == 0:
			if err := w.withdraw(ctx, r, id); err != nil {
				return false, err
			}

			w.lostAt, news = now, true
		case now-w.lostAt > retention:
			delete(c.workloads, id)
			c.History.Forget(id)
		}
	}

	if now-c.startedAt > retention {
		c.Remembered = nil
	}

	return news, nil
}
