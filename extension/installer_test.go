// SPDX-License-Identifier: MPL-2.0

package extension_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

// TestInstaller_CommandOfMakefile runs the first half of the command of "make installer", which writes the imager's input, and
// compares the second half. The imager takes such an input in test/talos (TestImager_MakesInstallers).
func TestInstaller_CommandOfMakefile(t *testing.T) {
	// The flags of a make that runs the tests are not for this one.
	t.Setenv("MAKEFLAGS", "")

	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}

	for _, test := range []struct {
		name           string
		variables      []string
		arch, out, tag string
	}{
		{"default", nil, "amd64", "installer", "v1.13.4"},
		{"arm64", []string{"ARCH=arm64"}, "arm64", "installer", "v1.13.4"},
		{"ISO of another Talos", []string{"ARCH=arm64", "PROFILE=iso", "TALOS=v1.13.5"}, "arm64", "iso", "v1.13.5"},
		{"without container engine", []string{"ARCH=arm64", "ENGINE="}, "arm64", "installer", "v1.13.4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			// -o: the extension is not built.
			args := []string{"-s", "-C", "..", "-o", "extension", "installer"}
			if !strings.Contains(strings.Join(test.variables, " "), "ENGINE") {
				args = append(args, "-n", "ENGINE=docker")
			}

			printed, err := exec.CommandContext(t.Context(), "make", append(args, test.variables...)...).CombinedOutput()
			require.NoError(t, err, "%s", printed)

			lines := strings.Split(strings.TrimSpace(string(printed)), "\n")
			write, run, found := strings.Cut(lines[len(lines)-1], " | docker ")
			require.True(t, found, "%s", printed)

			cmd := exec.CommandContext(t.Context(), "sh", "-c", write)
			cmd.Dir = ".."

			profile, err := cmd.Output()
			require.NoError(t, err)

			// The fields of the profile (siderolabs/talos pkg/imager/profile).
			var input struct {
				Arch, Platform, Version string
				Secureboot              bool
				Input                   struct {
					SystemExtensions []struct {
						OCIPath string `yaml:"ociPath"`
					} `yaml:"systemExtensions"`
				}
				Output struct {
					Kind      string
					OutFormat string `yaml:"outFormat"`
				}
			}

			require.NoError(t, yaml.Load(profile, &input, yaml.WithKnownFields()), "%s", profile)
			assert.Equal(t, test.arch, input.Arch)
			assert.Equal(t, test.tag, input.Version)
			assert.Equal(t, test.out, input.Output.Kind)
			require.Len(t, input.Input.SystemExtensions, 1)
			assert.Contains(t, run, `/dist/oci:`+input.Input.SystemExtensions[0].OCIPath+`:ro"`)
			assert.Contains(t, run, "ghcr.io/siderolabs/imager:"+test.tag+" -")
		})
	}

	t.Run("unknown architecture", func(t *testing.T) {
		printed, err := exec.CommandContext(t.Context(), "make", "-s", "-C", "..", "-o", "extension", "installer", "ENGINE=", "ARCH=riscv64").CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(printed), `ARCH is "riscv64": it must be amd64 or arm64`)
	})
}
