//go:build linux

package controllers

import (
	"context"
	"errors"
	"time"

	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// capture is the evidence of one hold, taken beside the controller.
type capture struct {
	containerID string
	since       time.Duration
	cancel      context.CancelFunc
	done        chan struct{}
	// kept is where it is, or why there is none; it is there when done is closed.
	kept string
}

// capture tells whether the wanted ceiling may be applied now, and what evidence there is from before it.
//
// A hold is captured once, before its ceiling is first in force. The ceiling waits for it, but never longer
// than record.EvidenceTimeout, and for no failure of it.
func (c *CeilingController) capture(
	id string, target resources.TargetSpec, wanted *resources.DesiredDesiredCeiling, inForce bool, wake func(),
) (ready bool, kept string) {
	if wanted == nil || wanted.Probing || c.Evidence == nil || c.config.Evidence.Limit.Bytes == 0 {
		return true, ""
	}

	known := c.captures[id]
	same := known != nil && known.containerID == target.ContainerID && known.since == wanted.SinceClock

	if !same && inForce {
		return true, "" // it is too late: the ceiling is an earlier process's
	}

	if !same {
		c.dropCapture(id)

		known = &capture{containerID: target.ContainerID, since: wanted.SinceClock, done: make(chan struct{})}
		c.captures[id] = known

		ctx, cancel := context.WithTimeout(context.Background(), record.EvidenceTimeout(c.config.Evidence))
		known.cancel = cancel

		go func() {
			defer wake()
			defer close(known.done)
			defer cancel()

			node := c.Host
			known.kept = inOneText(capturing(ctx, c.Evidence, node, id, target, c.config.Config))
		}()
	}

	select {
	case <-known.done:
		return true, known.kept
	default:
		return inForce, ""
	}
}

// capturing takes the evidence and returns where it is. When only a part could be had, both are set.
func capturing(
	ctx context.Context, store *record.Evidence, node host.Host, id string, target resources.TargetSpec, cfg config.Config,
) (string, error) {
	metrics := cfg.Target.Metrics

	if metrics.Port.Number == 0 {
		return "", errors.New("target.metrics.port is 0")
	}

	namespace, err := node.OpenNamespace(target)
	if err != nil {
		return "", err
	}

	defer namespace.Close()

	client := gometrics.NewClient(namespace.Dial, int(metrics.Port.Number))
	defer client.Close()

	return store.Capture(ctx, client, id, metrics, cfg.Evidence)
}

// inOneText says where evidence is, or why there is none.
func inOneText(dir string, err error) string {
	switch {
	case dir == "":
		return "none: " + err.Error()
	case err != nil:
		return dir + " (in part: " + err.Error() + ")"
	default:
		return dir
	}
}

// Capturer keeps evidence when a person asks for it.
type Capturer struct {
	// Store is where; nil is nowhere.
	Store *record.Evidence
	Host  host.Host
	State state.State
	// Active is the configuration in force.
	Active *config.Active
}

// Capture keeps a target's evidence under the configuration in force and returns the folder. When only a
// part could be had, both are set.
func (c Capturer) Capture(ctx context.Context, id string, target resources.TargetSpec) (string, error) {
	if c.Store == nil {
		return "", errors.New("evidence is kept nowhere (flag evidence)")
	}

	active := activeConfig{Active: c.Active}

	if _, ok, err := active.read(ctx, c.State); err != nil {
		return "", err
	} else if !ok {
		return "", errors.New("no configuration is in force yet")
	}

	if active.Evidence.Limit.Bytes == 0 {
		return "", errors.New("evidence is off (evidence.limit)")
	}

	ctx, cancel := context.WithTimeout(ctx, record.EvidenceTimeout(active.Evidence))
	defer cancel()

	return capturing(ctx, c.Store, c.Host, id, target, active.Config)
}

// dropCapture forgets a target's evidence; what was kept stays on disk.
func (c *CeilingController) dropCapture(id string) {
	if known := c.captures[id]; known != nil {
		known.cancel()
		delete(c.captures, id)
	}
}

// withEvidence names the evidence in the actions that it is about.
func withEvidence(actions []enforce.Action, kept string) []enforce.Action {
	for i := range actions {
		switch actions[i].Action {
		case resources.ActionApply, resources.ActionObserve, resources.ActionFail:
			actions[i].Evidence = kept
		}
	}

	return actions
}
