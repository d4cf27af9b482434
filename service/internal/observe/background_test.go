// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"errors"
	"testing"
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
