// SPDX-License-Identifier: MPL-2.0

package enforce_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

func TestLeases_Expire(t *testing.T) {
	const length = 30 * time.Second

	leases := &enforce.Leases{}
	expired := func(target string, now time.Duration) bool { return leases.Expired(target, now, length) }

	assert.False(t, expired("undecided", time.Minute), "a lease begins")
	assert.False(t, expired("undecided", time.Minute+length))
	assert.True(t, expired("undecided", time.Minute+length+1))

	leases.Renew("a", time.Minute, length)
	leases.Renew("b", time.Minute, length)
	assert.False(t, expired("a", time.Minute+length))
	assert.True(t, expired("a", time.Minute+length+1))

	leases.Renew("a", 2*time.Minute, length)
	assert.False(t, expired("a", 2*time.Minute))
	assert.True(t, expired("b", 2*time.Minute))

	// A target that is gone for a moment gets no new lease.
	onlyA := func(target string) bool { return target == "a" }
	leases.Keep(onlyA, 10*time.Minute)
	assert.True(t, expired("b", 10*time.Minute))
	leases.Keep(onlyA, 2*time.Hour)
	assert.False(t, expired("b", 2*time.Hour))
	assert.True(t, expired("a", 2*time.Hour))

	var none *enforce.Leases

	none.Renew("a", 0, 0)
	none.Keep(nil, 0)
	assert.False(t, none.Expired("a", time.Hour, 0))
}
