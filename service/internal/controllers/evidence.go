// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// evidenceTaker captures the evidence of each hold once, before its ceiling is first in force. It captures beside the
// controller, because a target may be slow to answer.
type evidenceTaker struct {
	// store is where evidence is kept; nil captures none.
	store *record.Evidence
	host  host.Host
	// captures by target.
	captures map[resource.ID]*capture
}

// capture is the evidence of one hold.
type capture struct {
	containerID string
	since       time.Duration
	cancel      context.CancelFunc
	done        chan struct{}
	// text says where the evidence is, or why there is none. It is set when done is closed.
	text string
}

// take reports whether a desired ceiling may be applied now, and what evidence there is from before it. The ceiling
// waits for the evidence, at most record.EvidenceTimeout, and for no failure of it. Wake is called when it is complete.
func (e *evidenceTaker) take(
	id resource.ID, target resources.TargetSpec, desired *decide.DesiredCeiling, inForce bool, cfg config.Config, wake func(),
) (ready bool, text string) {
	if desired == nil || desired.None() || desired.Probing || e.store == nil || cfg.Evidence.Limit.Bytes == 0 {
		return true, ""
	}

	known := e.captures[id]

	if known == nil || known.containerID != target.ContainerID || known.since != desired.Since {
		if inForce {
			return true, "" // too late: an earlier process applied the ceiling
		}

		e.drop(id)

		known = e.start(id, target, desired.Since, cfg, wake)
	}

	select {
	case <-known.done:
		return true, known.text
	default:
		return inForce, ""
	}
}

func (e *evidenceTaker) start(id resource.ID, target resources.TargetSpec, since time.Duration, cfg config.Config, wake func()) *capture {
	ctx, cancel := context.WithTimeout(context.Background(), record.EvidenceTimeout(cfg.Evidence))
	started := &capture{containerID: target.ContainerID, since: since, cancel: cancel, done: make(chan struct{})}
	e.captures[id] = started

	go task.Do("keep evidence", func() {
		defer wake()
		defer close(started.done)
		defer cancel()

		var dir string

		err := task.Step("capture evidence", func() (err error) {
			dir, err = captureEvidence(ctx, e.store, e.host, id, target, cfg)

			return err
		})

		started.text = evidenceText(dir, err)
	})

	return started
}

// drop cancels a capture of a target; what was kept stays on disk.
func (e *evidenceTaker) drop(id resource.ID) {
	if known := e.captures[id]; known != nil {
		known.cancel()
		delete(e.captures, id)
	}
}

// dropAll cancels every capture.
func (e *evidenceTaker) dropAll() {
	for id := range e.captures {
		e.drop(id)
	}
}

// captureEvidence keeps a target's evidence and returns its folder. Of a partial capture both are set.
func captureEvidence(
	ctx context.Context, store *record.Evidence, node host.Host, id resource.ID, target resources.TargetSpec, cfg config.Config,
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

// evidenceText says where evidence is, or why there is none.
func evidenceText(dir string, err error) string {
	switch {
	case dir == "":
		return "none: " + err.Error()
	case err != nil:
		return dir + " (in part: " + err.Error() + ")"
	default:
		return dir
	}
}

// Capturer captures evidence when a person asks for it.
type Capturer struct {
	// Store is where evidence is kept; nil captures none.
	Store *record.Evidence
	Host  host.Host
	State state.State
	// Active is the configuration in force.
	Active *config.Active
}

// Capture keeps a target's evidence under the configuration in force and returns its folder. Of a partial capture both
// are set.
func (c Capturer) Capture(ctx context.Context, id string, target resources.TargetSpec) (string, error) {
	if c.Store == nil {
		return "", errors.New("the service has no folder for evidence: set its flag -evidence")
	}

	active := activeConfig{Active: c.Active}

	if _, ok, err := active.read(ctx, c.State); err != nil {
		return "", err
	} else if !ok {
		return "", errors.New("no configuration is in force yet")
	}

	if active.Evidence.Limit.Bytes == 0 {
		return "", errors.New("evidence is off: set evidence.limit")
	}

	ctx, cancel := context.WithTimeout(ctx, record.EvidenceTimeout(active.Evidence))
	defer cancel()

	return captureEvidence(ctx, c.Store, c.Host, id, target, active.Config)
}
