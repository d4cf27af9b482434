// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestHostTSC_IsConstant: the frequency is the same however long it is measured, and within what processors have.
func TestHostTSC_IsConstant(t *testing.T) {
	if runtime.GOARCH != hasTSC {
		t.Skip("this machine has no TSC")
	}

	short, long := hostTSC(20*time.Millisecond), hostTSC(200*time.Millisecond)

	t.Logf("%.1f kHz and %.1f kHz", short, long)
	assert.InEpsilon(t, long, short, 0.01)
	assert.Greater(t, long, 500e3)
	assert.Less(t, long, 10e6)
}
