// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/vm/plan"
)

func needSelfTest(t *testing.T) {
	t.Helper()

	if os.Getenv("SPEGEL_GUARD_SELFTEST") == "" {
		t.Skip("boots the VM (make test-harness)")
	}
}

// TestRun_FailsWithGuest: a run fails if the program fails, the kernel crashes or the timeout passes.
func TestRun_FailsWithGuest(t *testing.T) {
	needSelfTest(t)

	const (
		program  = "/tests/selftest"
		patience = 10 * time.Minute
	)

	dir := t.TempDir()

	for name, pkg := range map[string]string{"init": "./guest", "selftest": "./selftest"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}

	for _, test := range []struct {
		how     string
		timeout time.Duration
		code    int
		says    string // in the output
		fails   string // in the error
	}{
		{"well", patience, 0, "ends well", ""},
		{"badly", patience, 3, "", ""},
		{"crash", patience, 0, "", "sysrq triggered crash"},
		{"never", 20 * time.Second, 0, "never ends", "timeout of "},
	} {
		t.Run(test.how, func(t *testing.T) {
			t.Parallel()

			var (
				out  bytes.Buffer
				code int
				err  error
			)

			// A slow machine does not start the program within a short timeout.
			for timeout := test.timeout; ; timeout *= 2 {
				out.Reset()

				code, err = Run(t.Context(), Options{
					Init: filepath.Join(dir, "init"), Files: map[string]string{program: filepath.Join(dir, "selftest")},
					Programs: []plan.Program{{Path: program, Args: []string{test.how}, Dir: "/"}}, Timeout: timeout, Out: &out,
				})

				if strings.Contains(out.String(), test.says) || timeout >= patience {
					break
				}
			}

			assert.Equal(t, test.code, code)
			assert.Contains(t, out.String(), test.says)

			if test.fails == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.fails)
			}
		})
	}
}

// TestVMRun_ExitsWithCodeOfProgram: the exit code of a program in the guest reaches the caller of vmrun.
func TestVMRun_ExitsWithCodeOfProgram(t *testing.T) {
	needSelfTest(t)
	t.Parallel()

	cmd := exec.CommandContext(t.Context(), "go", "run", "./test/vm/cmd/vmrun", "exec", "./test/vm/selftest", "badly")
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()

	// "go run" prints the exit code of the program to standard error and exits with 1.
	require.Error(t, err)
	assert.Contains(t, string(out), "exit status 3")
}
