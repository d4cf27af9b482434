// SPDX-License-Identifier: MPL-2.0

package mounts_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/mounts"
)

func TestInfo_SkipsWhatItCannotParse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mountinfo")
	require.NoError(t, os.WriteFile(path, []byte(
		`30 22 0:26 /../../.. /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
31 22 0:27 / /empty rw - tmpfs  rw
strange
32 22 0:28 / /with\040blank rw - overlay overlay lowerdir=`+strings.Repeat("/layer:", 1<<18)+`
33 22 0:29
34 22 0:30 / /last rw master:1 shared:2 - ext4 /dev/sda1 rw`), 0o600))

	infos, err := mounts.Info(path)
	assert.Equal(t, []mounts.Mount{
		{Device: "0:26", Root: "/../../..", Point: "/sys/fs/cgroup", Type: "cgroup2"}, {Device: "0:27", Root: "/", Point: "/empty", Type: "tmpfs"},
		{Device: "0:28", Root: "/", Point: `/with\040blank`, Type: "overlay"}, {Device: "0:30", Root: "/", Point: "/last", Type: "ext4"},
	}, infos)
	assert.EqualError(t, err, `failed to parse the line "strange" of `+path+`; failed to parse the line "33 22 0:29" of `+path)

	_, err = mounts.Info(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestInfo_OfThisProcess(t *testing.T) {
	infos, err := mounts.Info("/proc/self/mountinfo")
	require.NoError(t, err)
	assert.Condition(t, func() bool {
		for _, info := range infos {
			if info.Point == "/proc" && info.Type == "proc" {
				return true
			}
		}

		return false
	})
}

// endless repeats a text.
type endless string

func (e endless) Read(p []byte) (int, error) { return copy(p, e), nil }

func TestLines(t *testing.T) {
	const full = 64 << 10

	for name, test := range map[string]struct {
		reader io.Reader
		// want is the length of each line.
		want []int
		err  string
	}{
		"empty":              {reader: strings.NewReader("")},
		"without end":        {reader: strings.NewReader("ab\nabc"), want: []int{2, 3}},
		"empty lines":        {reader: strings.NewReader("\n\na\n"), want: []int{0, 0, 1}},
		"long, and the next": {reader: strings.NewReader(strings.Repeat("x", 300<<10) + "\nab\n"), want: []int{full, 2}},
		"long without end":   {reader: strings.NewReader(strings.Repeat("x", 300<<10)), want: []int{full}},
		"just full":          {reader: strings.NewReader(strings.Repeat("x", full) + "\nab"), want: []int{full, 2}},
		"fails":              {reader: io.MultiReader(strings.NewReader("ab\nhalf"), iotest.ErrReader(io.ErrUnexpectedEOF)), want: []int{2}, err: "unexpected EOF"},
		"endless line":       {reader: endless("x"), err: "more than 67108864 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				got  []int
				last error
			)

			for line, err := range mounts.Lines(test.reader) {
				if last = err; err == nil {
					got = append(got, len(line))
				}
			}

			assert.Equal(t, test.want, got)

			if test.err == "" {
				assert.NoError(t, last)
			} else {
				assert.EqualError(t, last, test.err)
			}
		})
	}
}
