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
	// profiled is closed when the profile was taken or has failed; nil without one. Unprofiled is why it has failed.
	profiled   chan struct{}
	unprofiled error
	// folder is nil while nothing is saved. Only one goroutine at a time has it.
	folder *record.Folder
	// later is what the actions after the first one say about it; empty before the first.
	later string
}

// profile takes the profile and then wakes the enforcer.
func (c *capture) profile() {
	c.profiled = make(chan struct{})

	go task.Do("profile a target before its ceiling", func() {
		defer c.taker.wake()
		defer close(c.profiled)

		c.unprofiled = task.Step("profile a target before its ceiling", func() error {
			folder, err := c.taker.store.Create(c.id, c.config.Evidence)
			if err != nil {
				return err
			}

			target, err := connect(c.taker.source, c.target, c.config)
			if err == nil {
				defer target.Close()

				err = folder.Profile(c.ctx, target, profileBefore)
			}

			if folder.Finish() != "" {
				c.folder = folder
			}

			return err
		})
	})
}

// ready reports whether the ceiling may be written: there is no profile, or it was taken. A failure is no reason to wait.
func (c *capture) ready() bool {
	if c.profiled == nil {
		return true
	}

	select {
	case <-c.profiled:
		return true
	default:
		return false
	}
}

// keep saves the evidence of an action that was taken at a time (CLOCK_BOOTTIME), and returns what the action says about it.
func (c *capture) keep(at time.Duration) string {
	if c.later != "" {
		return c.later
	}

	saved := make(chan string, 1)

	go task.Do("keep evidence", func() { c.save(at, saved) })

	select {
	case text := <-saved:
		c.answer = observe.Answer{}

		if c.later = text; c.folder != nil {
			c.later = c.folder.Dir + " (from an earlier action of the hold)"
		}

		return text
	case <-time.After(saveTimeout): // a file system that hangs does not stop the enforcer
		c.later = fmt.Sprintf("none: not saved within %s", saveTimeout)

		return c.later
	}
}

// save saves what is from before the action and sends what there is. Then it asks the target for what is from after it.
func (c *capture) save(at time.Duration, saved chan<- string) {
	var (
		text   string
		target *connection
	)

	err := task.Step("save the evidence from before a ceiling", func() (err error) {
		if c.folder == nil {
			if c.folder, err = c.taker.store.Create(c.id, c.config.Evidence); err != nil {
				return err
			}
		}

		target, err = connect(c.taker.source, c.target, c.config)
		text = c.before(at, err)

		return nil
	})
	if err != nil {
		text = "none: " + err.Error()
	}

	folder := c.folder
	saved <- text

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

// before saves what is from before the action and returns the text. Refused is why the target cannot be asked.
func (c *capture) before(at time.Duration, refused error) string {
	var files []string

	add := func(name, detail string, err error) {
		if err != nil {
			name, detail = "no "+name, ": "+err.Error()
		}

		files = append(files, name+detail)
	}

	if c.profiled != nil {
		add(profileBefore, "", c.unprofiled)
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
