// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRun_FailsWithGuest: vmrun fails if the program fails, the kernel crashes or the timeout passes.
func TestRun_FailsWithGuest(t *testing.T) {
	if os.Getenv("SPEGEL_GUARD_SELFTEST") == "" {
		t.Skip("boots the VM four times (make test-vm)")
	}

	for _, test := range []struct {
		how     string
		timeout string
		code    int
		says    string
	}{
		{"well", "10m", 0, "ends well"},
		{"badly", "10m", 3, ""},
		{"crash", "10m", 1, "sysrq triggered crash"},
		{"never", "20s", 1, "timeout of 20s"},
	} {
		t.Run(test.how, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "run", "./test/vm/cmd/vmrun", "exec", "-timeout", test.timeout, "./test/vm/selftest", test.how)
			cmd.Dir = "../.."
			out, err := cmd.CombinedOutput()

			var exit *exec.ExitError

			// "go run" prints the exit code of the program to standard error and exits with 1.
			if test.code == 0 {
				require.NoError(t, err, "%s", out)
			} else {
				require.True(t, errors.As(err, &exit), test.how)
			}

			if test.code > 1 {
				assert.Contains(t, string(out), "exit status 3")
			}

			assert.Contains(t, string(out), test.says, test.how)
		})
	}
}
