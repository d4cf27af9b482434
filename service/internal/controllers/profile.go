// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// cpuProfile is the CPU profile of a target from before its ceiling. The ceiling waits for it, so that it is kept in memory: a request
// has a timeout, and a file system has none.
type cpuProfile struct {
	// done is closed when it was taken or has failed; err is why it has failed.
	done chan struct{}
	text []byte
	err  error
	// end of the profile (CLOCK_BOOTTIME): it may be saved long after it.
	end time.Duration
}

// startProfile starts the profile of a capture, which wakes the enforcer at its end.
func startProfile(c *capture) *cpuProfile {
	p := &cpuProfile{done: make(chan struct{})}

	go task.Do("profile a target before its ceiling", func() {
		defer c.taker.wake()
		defer close(p.done)

		p.err = task.Step("profile a target before its ceiling", func() error {
			target, err := c.connect()
			if err != nil {
				return err
			}

			defer target.Close()

			p.text, err = record.Profile(c.ctx, target, c.config.Evidence)
			p.end = boottime.Now()

			return err
		})
	})

	return p
}

// ready reports whether the ceiling may be written: there is no profile, or it was taken. A failure is no reason to wait.
func (p *cpuProfile) ready() bool {
	if p == nil {
		return true
	}

	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// save writes it to a folder, in a file of the time of its end. Its error may be that of the profile.
func (p *cpuProfile) save(folder *record.Folder) error {
	if p.err != nil {
		return p.err
	}

	return folder.Write(profileBefore, p.text, boottime.Wall(p.end))
}
