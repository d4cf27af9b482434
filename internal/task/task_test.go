// SPDX-License-Identifier: MPL-2.0

package task_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

type failure struct{ err error }

func TestStep(t *testing.T) {
	plain := errors.New("plain")

	for name, test := range map[string]struct {
		do   func() error
		want error
		logs int
	}{
		"success":         {func() error { return nil }, nil, 0},
		"error":           {func() error { return plain }, plain, 0},
		"panic":           {func() error { panic("secret") }, task.ErrPanicked, 1},
		"nil panic":       {func() error { panic(nil) }, task.ErrPanicked, 1},
		"nil dereference": {func() error { return (*failure)(nil).err }, task.ErrPanicked, 1},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			t.Cleanup(zap.ReplaceGlobals(zap.New(core)))

			err := task.Step("read the counters", test.do)
			require.ErrorIs(t, err, test.want)
			require.Equal(t, test.logs, logs.Len())

			if test.logs == 0 {
				return
			}

			assert.ErrorContains(t, err, "failed to read the counters")
			assert.NotContains(t, err.Error(), "secret")

			fields := logs.All()[0].ContextMap()
			assert.Equal(t, "read the counters", fields["task"])
			assert.NotEmpty(t, fields["panic"])
			assert.Contains(t, fields["stack"], "task_test.go")
		})
	}
}

// TestRun_StartsAgain: after 1, 2, 4 ... 60 s, after a long run at 1 s again, and not after a return.
func TestRun_StartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			ended = time.Now()
			waits []int
		)

		task.Run(t.Context(), "follow", func() {
			waits = append(waits, int(time.Since(ended).Seconds()))

			if len(waits) == 9 {
				time.Sleep(2 * time.Minute)
			}

			ended = time.Now()

			if len(waits) < 11 {
				panic("again")
			}
		})

		assert.Equal(t, []int{0, 1, 2, 4, 8, 16, 32, 60, 60, 1, 2}, waits)
	})
}

func TestRun_EndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()

		began, calls := time.Now(), 0

		task.Run(ctx, "follow", func() {
			calls++

			panic("again")
		})

		assert.Equal(t, 4, calls)
		assert.Equal(t, 10*time.Second, time.Since(began))
	})
}

func TestDo_Recovers(t *testing.T) {
	done := make(chan struct{})

	go task.Do("stop", func() {
		defer close(done)

		panic("stop")
	})

	<-done
}
