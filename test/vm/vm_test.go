// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cavaliergopher/cpio"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestModuleDepends_ReadsModinfo(t *testing.T) {
	for data, want := range map[string][]string{
		"\x00license=GPL\x00depends=stp,llc\x00name=bridge\x00": {"stp", "llc"},
		"\x00depends=\x00name=veth\x00":                         nil,
		"no modinfo":                                            nil,
	} {
		t.Run(strings.ReplaceAll(data, "\x00", " "), func(t *testing.T) {
			assert.Equal(t, want, moduleDepends([]byte(data)))
		})
	}
}

func TestLoadModules_OrdersDependenciesFirst(t *testing.T) {
	dir := t.TempDir()

	for name, depends := range map[string]string{
		"net/bridge/bridge.ko": "stp,llc", "net/802/stp.ko": "llc", "net/llc/llc.ko": "", "drivers/un-used.ko": "",
	} {
		path := filepath.Join(dir, "kernel", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte("\x00depends="+depends+"\x00"), 0o644))
	}

	modules, err := LoadModules(t.Context(), Kernel{Modules: dir}, []string{"bridge", "builtin", "bridge"})
	require.NoError(t, err)

	var names []string

	for _, m := range modules {
		names = append(names, m.Name)
	}

	assert.Equal(t, []string{"llc", "stp", "bridge"}, names)
}

func TestInitramfs_WritesParentsFirst(t *testing.T) {
	archive := NewInitramfs()
	archive.AddData("/a/b/c", []byte("content"))
	archive.AddDir("/d")

	var buf bytes.Buffer

	require.NoError(t, archive.Write(&buf))

	var names []string

	for reader := cpio.NewReader(&buf); ; {
		header, err := reader.Next()
		if err != nil {
			break
		}

		names = append(names, header.Name)
	}

	assert.Equal(t, []string{"a", "a/b", "a/b/c", "d"}, names)
}

func TestCopyOutput_StopsAtMarker(t *testing.T) {
	var out strings.Builder

	m := machine{marker: "guest-1", out: &out}

	ready := 0

	code, err := m.copyOutput(strings.NewReader("guest-1 ready\nPASS\nguest-2 exit 0\nguest-2 ready\nguest-1 exit 3\nmore"), func() { ready++ })
	require.NoError(t, err)
	assert.Equal(t, 1, ready)
	assert.Equal(t, 3, code)
	assert.Equal(t, "PASS\nguest-2 exit 0\nguest-2 ready\n", out.String())

	_, err = m.copyOutput(strings.NewReader("PASS\n"), func() {})
	assert.Error(t, err, "a guest that ends without its exit line failed")
}

func TestAwaitBoot_WaitsWhileConsoleGrows(t *testing.T) {
	for _, test := range []struct {
		name    string
		first   string          // output at the start
		prints  []time.Duration // times of output
		ready   time.Duration   // 0: never
		from    int             // where the boot begins
		stalled time.Duration   // 0: never
	}{
		{"no clock", "tsc: Marking TSC unstable due to could not calculate TSC khz", nil, 0, 0, time.Second},
		{"no timer", "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", nil, 0, 0, time.Second},
		{"no timer in an earlier boot", "rcu_preempt detected stalls on CPUs/tasks:", nil, 0, 42, stallTimeout},
		{"no output", "", nil, 0, 0, stallTimeout},
		{"output ends", "", []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}, 0, 0, 3*time.Minute + stallTimeout},
		{"slow boot", "", []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}, 4 * time.Minute, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			console := filepath.Join(t.TempDir(), "console")
			require.NoError(t, os.WriteFile(console, []byte(test.first), 0o600))

			synctest.Test(t, func(t *testing.T) {
				var ready atomic.Bool

				began := time.Now()

				go func() {
					for i, at := range test.prints {
						time.Sleep(time.Until(began.Add(at)))
						assert.NoError(t, os.WriteFile(console, make([]byte, i+1), 0o600))
					}

					if test.ready > 0 {
						time.Sleep(time.Until(began.Add(test.ready)))
						ready.Store(true)
					}
				}()

				err := AwaitBoot(t.Context(), console, test.from, func([]byte) bool { return ready.Load() })

				if test.ready > 0 {
					require.NoError(t, err)

					return
				}

				require.ErrorIs(t, err, ErrStalled)
				assert.InDelta(t, test.stalled, time.Since(began), float64(stallTimeout/30))
			})
		})
	}
}

func TestFindKernel_RequiresOneKernel(t *testing.T) {
	for _, test := range []struct {
		name     string
		releases []string
		fails    string
	}{
		{"one kernel", []string{"6.18.15-cloud-amd64"}, ""},
		{"no kernel", nil, "holds 0 files boot/vmlinuz-*, expected one"},
		{"two kernels", []string{"6.18.15-cloud-amd64", "6.18.9-cloud-amd64"}, "holds 2 files boot/vmlinuz-*, expected one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			require.NoError(t, os.MkdirAll(filepath.Join(root, "boot"), 0o755))

			for _, release := range test.releases {
				require.NoError(t, os.WriteFile(filepath.Join(root, "boot", "vmlinuz-"+release), nil, 0o644))
				require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/lib/modules", release, "kernel"), 0o755))
			}

			kernel, err := findKernel(root)
			if test.fails != "" {
				assert.ErrorContains(t, err, test.fails)

				return
			}

			require.NoError(t, err)
			assert.Equal(t, filepath.Join(root, "boot/vmlinuz-6.18.15-cloud-amd64"), kernel.Image)
			assert.Equal(t, filepath.Join(root, "usr/lib/modules/6.18.15-cloud-amd64"), kernel.Modules)
		})
	}
}
