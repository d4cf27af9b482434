// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// capture is the evidence of one hold. The target's newest answer is there when the hold begins and is saved beside the write
// of the ceiling; another one is asked for after the write.
type capture struct {
	id     resource.ID
	target resources.TargetSpec
	since  time.Duration
	config config.Config
	store  *record.Evidence
	source func(resources.TargetSpec) observe.Source
	logger *zap.Logger
	// answer is from before the ceiling.
	answer observe.Answer
	ctx    context.Context //nolint:containedctx // of its goroutine
	cancel context.CancelFunc
	// started and released belong to the enforcer: the goroutine was started, written was closed.
	started, released bool
	// written is closed when the ceiling was written, saved when what is from before it was saved and text is set.
	written, saved chan struct{}
	// text says what evidence there is and where, or why there is none.
	text string
}

func newCapture(
	e *evidenceTaker, id resource.ID, target resources.TargetSpec, since time.Duration, cfg config.Config, logger *zap.Logger,
) *capture {
	c := &capture{
		id: id, target: target, since: since, config: cfg, store: e.store, source: e.source, logger: logger,
		answer: e.feed.Answer(id, target.ContainerID), written: make(chan struct{}), saved: make(chan struct{}),
	}

	// The metrics after the ceiling are one request more.
	c.ctx, c.cancel = context.WithTimeout(context.Background(), record.EvidenceTimeout(cfg.Evidence)+gometrics.Timeout)

	return c
}

// ready reports whether the ceiling may be written: there is no profile, or it was taken. A failure is no reason to wait.
func (c *capture) ready() bool {
	if c == nil || c.config.Evidence.Profile.Duration == 0 {
		return true
	}

	select {
	case <-c.saved:
		return true
	default:
		return false
	}
}

// keep is called after the write of the ceiling. It returns what the action says about the evidence.
func (c *capture) keep() string {
	switch {
	case c == nil:
		return ""
	case !c.released:
		c.released = true
		close(c.written)

		c.start(func() {})

		select {
		case <-c.saved:
		case <-time.After(saveTimeout): // a disk that hangs delays no other ceiling
		}
	}

	select {
	case <-c.saved:
		return c.text
	default:
		return fmt.Sprintf("none: not saved within %s", saveTimeout)
	}
}

// start saves what is from before the ceiling in a goroutine, and what is from after it when it was written. Saved is called in
// between.
func (c *capture) start(saved func()) {
	if c.started {
		return
	}

	c.started = true
	go task.Do("keep evidence", func() {
		defer c.cancel()

		c.run(saved)
	})
}

func (c *capture) run(saved func()) {
	var (
		folder *record.Folder
		target *connection
	)

	err := task.Step("save the evidence from before a ceiling", func() (err error) {
		if folder, err = c.store.Create(c.id, c.config.Evidence); err != nil {
			return err
		}

		target, err = connect(c.source, c.target, c.config)
		c.text = c.before(folder, target, err)

		return nil
	})
	if err != nil {
		c.text = "none: " + err.Error()
	}

	close(c.saved)
	saved()

	if target == nil {
		return
	}

	defer target.Close()
	defer folder.Finish()

	select {
	case <-c.ctx.Done():
		return
	case <-c.written:
	}

	if err := folder.Metrics(c.ctx, target, metricsAfter, c.config.Target.Metrics.Path); err != nil {
		c.logger.Warn("failed to capture evidence after a ceiling", zap.String("evidence", folder.Dir), zap.Error(err))
	}
}

// before saves what is from before the ceiling and returns the text. Refused is why the target cannot be asked.
func (c *capture) before(folder *record.Folder, target *connection, refused error) string {
	var files []string

	add := func(name, detail string, err error) {
		if err != nil {
			name, detail = "no "+name, ": "+err.Error()
		}

		files = append(files, name+detail)
	}

	if c.config.Evidence.Profile.Duration > 0 {
		err := refused
		if err == nil {
			err = folder.Profile(c.ctx, target, profileBefore)
		}

		add(profileBefore, "", err)
	}

	err := errors.New(c.answer.Unavailable)
	if c.answer.Unavailable == "" {
		err = folder.Write(metricsBefore, c.answer.Text, boottime.Wall(c.answer.Clock))
	}

	// The ceiling was written just now, or is next.
	age := boottime.Now() - c.answer.Clock
	add(metricsBefore, fmt.Sprintf(" is %s older than the ceiling", age.Round(100*time.Millisecond)), err)
	add(metricsAfter, " follows", refused)

	text := strings.Join(files, ", ")

	if refused != nil && folder.Finish() == "" {
		return "none: " + text
	}

	return folder.Dir + " (" + text + ")"
}
