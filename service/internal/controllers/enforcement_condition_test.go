// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

func TestEnforcementReason_ReportsWhatStaysInForce(t *testing.T) {
	inForce := func(err error) error { return fmt.Errorf("%w: %w", err, enforce.ErrInForce) }

	for name, test := range map[string]struct {
		err  error
		mode config.Mode
		want string
	}{
		"not permitted":                            {unix.EROFS, config.ModeEnforce, resources.ReasonNotPermitted},
		"not permitted, mode observe":              {unix.EROFS, config.ModeObserve, resources.ReasonOK},
		"not permitted, ceiling in force":          {inForce(unix.EROFS), config.ModeEnforce, resources.ReasonNotPermitted},
		"not permitted, mode observe, in force":    {inForce(unix.EROFS), config.ModeObserve, resources.ReasonNotPermitted},
		"damaged journal, mode observe":            {cgroup.ErrBadJournal, config.ModeObserve, resources.ReasonBadJournal},
		"ceilings not adopted, mode observe":       {enforce.ErrNotAdopted, config.ModeObserve, resources.ReasonNotAdopted},
		"another failure, mode observe, in force":  {inForce(enforcetest.ErrBroken), config.ModeObserve, resources.ReasonWriteError},
		"another failure, mode observe, not force": {enforcetest.ErrBroken, config.ModeObserve, resources.ReasonOK},
	} {
		t.Run(name, func(t *testing.T) {
			reason, message := enforcementReason(test.err, test.mode)
			assert.Equal(t, test.want, reason)

			if reason == resources.ReasonNotPermitted && test.err != unix.EROFS { //nolint:errorlint // the bare one
				assert.Contains(t, message, "a ceiling stays in force")
				assert.NotContains(t, message, "only observing")
			}
		})
	}
}

// TestCeilingController_ReportsACeilingThatCannotBeLifted in either mode.
func TestCeilingController_ReportsACeilingThatCannotBeLifted(t *testing.T) {
	for _, mode := range []config.Mode{config.ModeEnforce, config.ModeObserve} {
		t.Run(string(mode), func(t *testing.T) {
			e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, nil)
			e.desire(500, "R", "r")
			e.status(resources.CeilingApplied)

			e.cgroup.Fail("Restore", unix.EROFS)
			e.configure("mode: " + string(mode) + "\n" + enforceDoc)
			e.desire(0, "", "every enforced rule was quiet")

			message := e.condition(resources.ReasonNotPermitted).Message
			assert.Contains(t, message, "a ceiling stays in force")
			assert.NotContains(t, message, "only observing")

			status := e.status(resources.CeilingFailed)
			assert.NotZero(t, status.AppliedAtClock)
			assert.Equal(t, atCeiling, status.ReadBack)
		})
	}
}
