// SPDX-License-Identifier: MPL-2.0

package cgroup_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/internal/mounts"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

func TestParseProcCgroup(t *testing.T) {
	for data, want := range map[string]string{
		"0::/kubepods/burstable/podx/y\n": "/kubepods/burstable/podx/y",
		"0::/\n":                          "/",
		"12:cpu:/v1\n1:name=systemd:/z\n0::/../../../a/b\n": "/../../../a/b",
	} {
		got, err := cgroup.ParseProcCgroup([]byte(data))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}

	for data, want := range map[string]error{
		"":                    cgroup.ErrNoUnifiedEntry,
		"4:cpu,cpuacct:/x\n":  cgroup.ErrNoUnifiedEntry,
		"0::/x/y (deleted)\n": cgroup.ErrGone,
	} {
		_, err := cgroup.ParseProcCgroup([]byte(data))
		assert.ErrorIs(t, err, want)
	}
}

func TestMountRoot(t *testing.T) {
	infos := []mounts.Mount{
		{Root: "/", Point: "/proc", Type: "proc"}, {Root: "/hidden", Point: "/sys/fs/cgroup", Type: "cgroup2"},
		{Root: "/../../..", Point: "/sys/fs/cgroup", Type: "cgroup2"}, {Root: "/", Point: "/sys/fs/bpf", Type: "bpf"},
	}

	root, err := cgroup.MountRoot(infos, "/sys/fs/cgroup")
	require.NoError(t, err)
	assert.Equal(t, "/../../..", root)

	for _, point := range []string{"/sys/fs/bpf", "/nowhere"} {
		_, err = cgroup.MountRoot(infos, point)
		assert.ErrorIs(t, err, cgroup.ErrNotUnified)
	}
}

func TestResolve(t *testing.T) {
	for _, test := range []struct{ mount, path, want string }{
		{"/", "/kubepods/a", "kubepods/a"},
		{"/../../..", "/../../../kubepods/burstable/pod1/c", "kubepods/burstable/pod1/c"},
		{"/docker/x", "/docker/x/kubepods/a", "kubepods/a"},
		{"/", "/", ""},
		{"/../../..", "/../../other", ""},
		{"/../../..", "/", ""},
		{"/", "/../x", ""},
		{"/docker/x", "/docker/xy/a", ""},
		{"/", "/a/../../etc", ""},
	} {
		got, err := cgroup.Resolve(test.mount, test.path)
		assert.Equal(t, test.want, got, test.path)
		assert.Equal(t, test.want == "", err != nil, test.path)
	}
}

func TestParseCPUStat(t *testing.T) {
	stat, err := cgroup.ParseCPUStat([]byte("usage_usec 100\nuser_usec 60\nsystem_usec 40\nnice_usec 1\n" +
		"nr_periods 10\nnr_throttled 3\nthrottled_usec 7\nnr_bursts 0\nburst_usec 0\n"))
	require.NoError(t, err)
	assert.Equal(t, cgroup.CPUStat{
		UsageUsec: 100, UserUsec: 60, SystemUsec: 40, Periods: 10, Throttled: 3, ThrottledUsec: 7,
	}, stat)

	for _, bad := range []string{"", "usage_usec", "usage_usec x\n", "usage_usec -1\n", "usage_usec 18446744073709551616\n", "nr_periods 1\n"} {
		_, err := cgroup.ParseCPUStat([]byte(bad))
		assert.ErrorIs(t, err, cgroup.ErrMalformed, bad)
	}
}

func TestParseMemoryStat(t *testing.T) {
	stat, err := cgroup.ParseMemoryStat([]byte("anon 4096\nfile 8192\nkernel 1\nshmem 512\nfile_mapped 3\n"))
	require.NoError(t, err)
	assert.Equal(t, cgroup.MemoryStat{File: 8192, Shmem: 512}, stat)

	for _, text := range []string{"", "shmem 512\n", "file x\n", "file -1\n"} {
		_, err := cgroup.ParseMemoryStat([]byte(text))
		assert.ErrorIs(t, err, cgroup.ErrMalformed, text)
	}
}

func TestParseCPUStatAllocatesNothing(t *testing.T) {
	data := []byte("usage_usec 123456789\nuser_usec 60\nsystem_usec 40\nnr_periods 10\nnr_throttled 3\nthrottled_usec 7\n")

	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := cgroup.ParseCPUStat(data); err != nil {
			t.Error(err)
		}
	}))
}

func TestParseCPUMax(t *testing.T) {
	for _, text := range []string{"max 100000", "50000 100000", "1000 1000000"} {
		value, err := cgroup.ParseCPUMax(text + "\n")
		require.NoError(t, err)
		assert.Equal(t, text, value.String())
	}

	for _, bad := range []string{"", "max", "max max", "-1 100000", "999 100000", "50000 0", "50000 1000001", "50000 1e5"} {
		_, err := cgroup.ParseCPUMax(bad)
		assert.ErrorIs(t, err, cgroup.ErrMalformed, bad)
	}
}

func TestLimit(t *testing.T) {
	for _, test := range []struct {
		owner          string
		ceiling, floor int64
		want           string
		write          bool
	}{
		{"max 100000", 500, 100, "50001 100000", true},
		{"max 20000", 500, 100, "10001 20000", true},
		{"200000 100000", 500, 100, "50001 100000", true},
		{"30000 100000", 500, 100, "30000 100000", false},
		{"50000 100000", 500, 100, "50000 100000", false},
		{"max 100000", 10, 100, "10001 100000", true},
		{"50001 100000", 500, 100, "50001 100000", false},
		{"50002 100000", 500, 100, "50001 100000", true},
		{"5000 100000", 10, 100, "5000 100000", false},
		// In a period of the owner that is too short for the ceiling, 1 ms would be more than the ceiling.
		{"max 5000", 100, 100, "10001 100000", true},
		{"max 1000", 500, 100, "50001 100000", true},
		{"1500 1000", 500, 100, "50001 100000", true},
		{"1000 1999", 500, 100, "50001 100000", true},
		{"1000 2000", 500, 100, "1000 2000", false},
		{"1000 1000", 1000, 100, "1000 1000", false},
	} {
		t.Run(test.owner, func(t *testing.T) {
			owner, err := cgroup.ParseCPUMax(test.owner)
			require.NoError(t, err)

			limited, write := owner.Limit(test.ceiling, test.floor)
			assert.Equal(t, test.want, limited.String())
			assert.Equal(t, test.write, write)
		})
	}
}

// TestLimitIsLeastHarm: at most the owner's limit and, but for the mark, the ceiling; at least the floor unless the owner is
// below it; the owner's period unless it is too short; and always a value that the kernel accepts.
func TestLimitIsLeastHarm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owner := cgroup.CPUMax{
			QuotaUsec:  rapid.OneOf(rapid.Just(cgroup.Unlimited), rapid.Int64Range(1000, 1e9)).Draw(t, "quota"),
			PeriodUsec: rapid.Uint64Range(1000, 1e6).Draw(t, "period"),
		}
		ceiling, floor := rapid.Int64Range(10, 1e6).Draw(t, "ceiling"), rapid.Int64Range(10, 1e6).Draw(t, "floor")

		limited, write := owner.Limit(ceiling, floor)

		millis := max(ceiling, floor)
		short := millis*int64(owner.PeriodUsec)/1000 < 1000

		require.Equal(t, write, limited != owner)

		if owner.QuotaUsec != cgroup.Unlimited {
			require.LessOrEqual(t, limited.Cores(), owner.Cores())
		}

		if write {
			require.Equal(t, limited.PeriodUsec != owner.PeriodUsec, short)
			require.GreaterOrEqual(t, limited.QuotaUsec, max(int64(1000), floor*int64(limited.PeriodUsec)/1000))
			require.LessOrEqual(t, limited.QuotaUsec-1, millis*int64(limited.PeriodUsec)/1000)
		}

		again, err := cgroup.ParseCPUMax(limited.String())
		require.NoError(t, err)
		require.Equal(t, limited, again)
		require.NoError(t, limited.Validate(0))
	})
}

// TestCPUMax_ReadsWhatTheKernelDoubles: on a busy machine Linux 6.18 made "3002 2000" of "1501 1000".
func TestCPUMax_ReadsWhatTheKernelDoubles(t *testing.T) {
	for _, test := range []struct {
		name, written, reads string
		want                 bool
	}{
		{"as written", "50001 100000", "50001 100000", true},
		{"no limit", "max 1000", "max 1000", true},
		{"doubled", "1501 1000", "3002 2000", true},
		{"doubled three times", "1501 1000", "12008 8000", true},
		{"tripled", "1501 1000", "4503 3000", false},
		{"the owner's, equal but for the mark", "1501 1000", "3000 2000", false},
		{"another quota", "1501 1000", "2000 1000", false},
		{"another period", "1501 1000", "1501 2000", false},
		{"halved", "3002 2000", "1501 1000", false},
		{"no multiple", "1501 1000", "3004 2001", false},
		{"limit removed", "1501 1000", "max 2000", false},
		{"limit set", "max 1000", "3002 2000", false},
		{"no quota, other period", "max 1000", "max 2000", false},
		{"nothing written", "", "1501 1000", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			value, err := cgroup.ParseCPUMax(test.reads)
			require.NoError(t, err)
			assert.Equal(t, test.want, value.Reads(test.written))
		})
	}
}

// TestJournal_OwnerBurst: what the guard or the kernel made of the journal's burst is not the owner's.
func TestJournal_OwnerBurst(t *testing.T) {
	j := cgroup.Journal{OwnerLimit: "20000 5000", OwnerBurstUsec: 9000, Previous: "5001 5000", Applied: "8001 5000"}

	for _, test := range []struct {
		name    string
		current cgroup.CPUMax
		burst   uint64
		want    uint64
	}{
		{"beside the ceiling", cgroup.CPUMax{QuotaUsec: 8001, PeriodUsec: 5000}, 8001, 9000},
		{"of the ceiling before", cgroup.CPUMax{QuotaUsec: 8001, PeriodUsec: 5000}, 5001, 9000},
		{"doubled", cgroup.CPUMax{QuotaUsec: 16002, PeriodUsec: 10000}, 16002, 9000},
		{"doubled less often", cgroup.CPUMax{QuotaUsec: 32004, PeriodUsec: 20000}, 10002, 9000},
		{"all of the owner's, doubled", cgroup.CPUMax{QuotaUsec: 32004, PeriodUsec: 20000}, 18000, 9000},
		{"doubled by somebody", cgroup.CPUMax{QuotaUsec: 16002, PeriodUsec: 5000}, 10002, 10002},
		{"set by somebody", cgroup.CPUMax{QuotaUsec: 8001, PeriodUsec: 5000}, 3000, 3000},
		{"removed by somebody", cgroup.CPUMax{QuotaUsec: 8001, PeriodUsec: 5000}, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, j.OwnerBurst(test.current, test.burst))
		})
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		value cgroup.CPUMax
		burst uint64
		want  string
	}{
		{cgroup.CPUMax{QuotaUsec: 50_000, PeriodUsec: 100_000}, 50_000, ""},
		{cgroup.CPUMax{QuotaUsec: cgroup.Unlimited, PeriodUsec: 100_000}, 1 << 40, ""},
		{cgroup.CPUMax{QuotaUsec: 50_000, PeriodUsec: 100_000}, 50_001, "below cpu.max.burst 50001"},
		{cgroup.CPUMax{QuotaUsec: 999, PeriodUsec: 100_000}, 0, "quota 999 us"},
		{cgroup.CPUMax{QuotaUsec: 1 << 44, PeriodUsec: 100_000}, 0, "quota 17592186044416 us"},
		{cgroup.CPUMax{QuotaUsec: 50_000, PeriodUsec: 999}, 0, "period 999 us"},
		{cgroup.CPUMax{QuotaUsec: cgroup.Unlimited, PeriodUsec: 1_000_001}, 0, "period 1000001 us"},
	} {
		err := test.value.Validate(test.burst)

		if test.want == "" {
			assert.NoError(t, err)

			continue
		}

		assert.ErrorIs(t, err, cgroup.ErrInvalid)
		assert.ErrorContains(t, err, test.want)
	}
}

func TestParsePressure(t *testing.T) {
	const text = "some avg10=12.34 avg60=1.00 avg300=0.00 total=987654\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"

	pressure, err := cgroup.ParsePressure([]byte(text))
	require.NoError(t, err)
	assert.Equal(t, uint64(987654), pressure.TotalUsec)

	for _, malformed := range []string{"", "full total=1", "some", "some avg10=1", "some total=", "some total=-1"} {
		_, err := cgroup.ParsePressure([]byte(malformed))
		assert.ErrorIs(t, err, cgroup.ErrMalformed, malformed)
	}

	assert.Zero(t, testing.AllocsPerRun(100, func() { cgroup.ParsePressure([]byte(text)) }))
}

func FuzzParsePressure(f *testing.F) {
	f.Add([]byte("some avg10=12.34 avg60=1.00 avg300=0.00 total=987654\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := cgroup.ParsePressure(data); err != nil {
			assert.ErrorIs(t, err, cgroup.ErrMalformed)
		}
	})
}

func FuzzParseCPUStat(f *testing.F) {
	f.Add([]byte("usage_usec 1\nnr_periods 2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := cgroup.ParseCPUStat(data); err != nil {
			assert.ErrorIs(t, err, cgroup.ErrMalformed)
		}
	})
}

// FuzzParseCPUMax: whatever is read as a value is one the kernel takes, and prints the same again.
func FuzzParseCPUMax(f *testing.F) {
	f.Add("max 100000\n")
	f.Add("50001 100000")
	f.Fuzz(func(t *testing.T, text string) {
		value, err := cgroup.ParseCPUMax(text)
		if err != nil {
			assert.ErrorIs(t, err, cgroup.ErrMalformed)

			return
		}

		require.NoError(t, value.Validate(0))

		again, err := cgroup.ParseCPUMax(value.String())
		require.NoError(t, err)
		assert.Equal(t, value, again)
	})
}

// FuzzParseProcCgroup: what is read is an absolute path without the kernel's mark of a removed cgroup.
func FuzzParseProcCgroup(f *testing.F) {
	f.Add([]byte("12:cpu:/v1\n0::/kubepods/burstable/podx/y\n"))
	f.Add([]byte("0::/x (deleted)\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path, err := cgroup.ParseProcCgroup(data)
		if err != nil {
			return
		}

		assert.True(t, strings.HasPrefix(path, "/"))
		assert.False(t, strings.HasSuffix(path, " (deleted)"))
		assert.NotContains(t, path, "\n")
		assert.Contains(t, string(data), "0::"+path)
	})
}

func FuzzResolve(f *testing.F) {
	f.Add("/../../..", "/../../../kubepods/x")
	f.Fuzz(func(t *testing.T, mount, path string) {
		got, err := cgroup.Resolve(mount, path)
		if err == nil {
			assert.NotContains(t, "/"+got+"/", "/../")
			assert.NotEmpty(t, got)
		}
	})
}
