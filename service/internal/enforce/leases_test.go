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
	expired := func(target string, now time.Duration) bool { return leases.Expired(target, now) }

	assert.False(t, expired("a", time.Hour), "no decision yet")

	leases.Renew("a", time.Minute, length)
	leases.Renew("b", time.Minute, length)
	assert.False(t, expired("a", time.Minute+length))
	assert.True(t, expired("a", time.Minute+length+1))

	leases.Renew("a", 2*time.Minute, length)
	assert.False(t, expired("a", 2*time.Minute))
	assert.True(t, expired("b", 2*time.Minute))

	leases.Keep(func(target string) bool { return target == "a" })
	assert.False(t, expired("b", 2*time.Minute))
	assert.True(t, expired("a", time.Hour))

	var none *enforce.Leases

	none.Renew("a", 0, 0)
	none.Keep(nil)
	assert.False(t, none.Expired("a", time.Hour))
}
