// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// capture is the evidence of one hold. It is saved once, for the first action by which the ceiling is in force, or would be.
type capture struct {
	id     resource.ID
	target resources.TargetSpec
	since  time.Duration
	config config.Config
	taker  *evidenceTaker
	logger *zap.Logger
	ctx    context.Context //nolint:containedctx // of its goroutines
	cancel context.CancelFunc

	// answer is the newest one from before the ceiling.
	answer observe.Answer
	// profile from before the ceiling; nil without one.
	profile *cpuProfile
	// saved gets what the first action says about it when it is saved; nil before the first action. Until then the goroutine that
	// saves has the answer, the profile and the folder. The folder is nil while nothing is saved.
	saved  chan string
	folder *record.Folder
	// late is set when an action did not say where it is saved: then the log does.
	late atomic.Bool
	// later is what the actions after the first one say about it; empty until it is saved.
	later string
}

// keep saves the evidence of an action that was taken at a time (CLOCK_BOOTTIME), and returns what the action says about it. It waits
// until the context ends: a file system that hangs does not stop the enforcer.
func (c *capture) keep(ctx context.Context, at time.Duration) string {
	first := c.saved == nil

	switch {
	case c.later != "":
		return c.later
	case first && c.taker.saving.Load() >= record.EvidenceKept:
		return fmt.Sprintf("none: %d earlier captures are not saved yet", record.EvidenceKept)
	case first:
		c.saved = make(chan string, 1)
		c.taker.saving.Add(1)

		go task.Do("keep evidence", func() { c.save(at) })
	}

	select {
	case text := <-c.saved:
		return c.settle(text, first)
	case <-ctx.Done():
	}

	// It may be saved just now: what is sent after the flag was set is logged.
	c.late.Store(true)

	select {
	case text := <-c.saved:
		return c.settle(text, first)
	default:
		return notSaved
	}
}

// settle takes what the save has sent, and returns what the first action or a later one says about it.
func (c *capture) settle(text string, first bool) string {
	c.answer, c.profile, c.later = observe.Answer{}, nil, text

	if c.folder != nil {
		c.later = c.folder.Dir + " (from an earlier action of the hold)"
	}

	if first {
		return text
	}

	return c.later
}

// save saves what is from before the action and sends what there is. Then it asks the target for what is from after it.
func (c *capture) save(at time.Duration) {
	var (
		text   string
		target *connection
	)

	err := task.Step("save the evidence from before a ceiling", func() (err error) {
		if c.folder, err = c.taker.create(c.id, c.config.Evidence); err != nil {
			return err
		}

		target, err = c.connect()
		text = c.before(at, err)

		return nil
	})
	if err != nil {
		text = "none: " + err.Error()
	}

	folder := c.folder
	c.taker.saving.Add(-1)
	c.saved <- text

	if c.late.Load() {
		c.logger.Warn("saving the evidence of a ceiling took longer than its action waited", zap.String("evidence", text))
	}

	if target == nil {
		return
	}

	defer target.Close()

	if err := folder.Metrics(c.ctx, target, metricsAfter, c.config.Target.Metrics.Path); err != nil {
		// The action names the folder, so that it stays and says why it has no such file.
		err = errors.Join(err, folder.Write(afterFailed, []byte(err.Error()+"\n"), time.Time{}))
		c.logger.Warn("failed to capture evidence after a ceiling", zap.String("evidence", folder.Dir), zap.Error(err))
	}
}

func (c *capture) connect() (*connection, error) { return connect(c.taker.source, c.target, c.config) }

// before saves what is from before the action and returns the text. Refused is why the target cannot be asked.
func (c *capture) before(at time.Duration, refused error) string {
	var files []string

	add := func(name, detail string, err error) {
		if err != nil {
			name, detail = "no "+name, ": "+err.Error()
		}

		files = append(files, name+detail)
	}

	if c.profile != nil {
		add(profileBefore, "", c.profile.save(c.folder))
	}

	err := errors.New(c.answer.Unavailable)
	if c.answer.Unavailable == "" {
		err = c.folder.Write(metricsBefore, c.answer.Text, boottime.Wall(c.answer.Clock))
	}

	add(metricsBefore, fmt.Sprintf(" is %s older than the action", (at-c.answer.Clock).Round(time.Millisecond)), err)
	add(metricsAfter, " follows", refused)

	text, dir := strings.Join(files, ", "), c.folder.Dir

	if refused != nil && c.folder.Finish() == "" {
		c.folder = nil

		return "none: " + text
	}

	return dir + " (" + text + ")"
}
