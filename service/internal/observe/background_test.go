// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBackground_NeverWaits(t *testing.T) {
	answer := make(chan error)
	b := &background[int]{interval: time.Minute, read: func() (int, error) { return 5, <-answer }}

	_, err := b.latest(time.Second)
	assert.ErrorIs(t, err, errNotRead)

	answer <- nil

	assert.EventuallyWithT(t, func(t *assert.CollectT) {
		value, err := b.latest(2 * time.Second)
		assert.NoError(t, err)
		assert.Equal(t, 5, value)
	}, time.Minute, time.Millisecond)

	// The next one is due, and hangs: for a while the last value is good, then it is not.
	value, err := b.latest(time.Second + time.Minute)
	assert.NoError(t, err)
	assert.Equal(t, 5, value)

	_, err = b.latest(time.Second + time.Minute + overdue + time.Second)
	assert.ErrorContains(t, err, "the reading has not ended for 31s")

	answer <- errors.New("broken")

	assert.Eventually(t, func() bool {
		_, err := b.latest(time.Second + time.Minute + overdue)

		return err != nil && err.Error() == "broken"
	}, time.Minute, time.Millisecond)
}

// TestBackground_ReadsOnceInAnInterval: what takes the readings comes once in an interval, too, a bit early and a bit late.
func TestBackground_ReadsOnceInAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := 0
		b := &background[int]{interval: 10 * time.Second, retry: 10 * time.Second, read: func() (int, error) {
			read++

			return read, nil
		}}

		for i := range 100 {
			_, _ = b.latest(time.Duration(i)*10*time.Second + time.Duration(i*37%50)*time.Millisecond)

			synctest.Wait()
			assert.Equal(t, i+1, read)
		}
	})
}
