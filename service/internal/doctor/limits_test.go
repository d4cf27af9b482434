// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestLimits_Check(t *testing.T) {
	for _, test := range []struct {
		name               string
		limits             Limits
		state, found, want string
	}{
		{
			"none", Limits{Peak: 200 * mebibyte, Used: 93 * mebibyte}, resources.CheckWarning,
			"no CPU limit, no memory limit, memory.peak 200 MiB, without the page cache of now 93 MiB",
			"set in the HelmRelease of spegel: spec: {values: {resources: {requests: {cpu: 100m}, limits: {cpu: 500m, memory: 192Mi}}}}; " +
				"memory is 1.5 times the peak without the page cache of now, rounded up: set more if the peak had less cache; " +
				"spegel's chart sets GOMEMLIMIT to the whole memory limit, 90 % of it would be 172MiB",
		},
		{
			"none, and no memory.peak", Limits{}, resources.CheckWarning, "no CPU limit, no memory limit",
			"set in the HelmRelease of spegel: spec: {values: {resources: {requests: {cpu: 100m}, limits: {cpu: 500m}}}}; " +
				"memory.peak is unavailable: set limits.memory to 1.5 times what it uses",
		},
		{
			"the chart's default", Limits{Memory: 128 * mebibyte, Peak: 100 * mebibyte, Used: 60 * mebibyte}, resources.CheckWarning,
			"no CPU limit, memory limit 128 MiB, memory.peak 100 MiB, without the page cache of now 60 MiB",
			"set in the HelmRelease of spegel: spec: {values: {resources: {requests: {cpu: 100m}, limits: {cpu: 500m}}}}; " +
				"spegel's chart sets GOMEMLIMIT to the whole memory limit, 90 % of it would be 115MiB",
		},
		{
			"CPU only", Limits{Cores: 0.5, Peak: mebibyte, Used: mebibyte}, resources.CheckWarning,
			"CPU limit 500m, no memory limit, memory.peak 1.0 MiB, without the page cache of now 1.0 MiB",
			"set in the HelmRelease of spegel: spec: {values: {resources: {limits: {memory: 128Mi}}}}; memory is 1.5 times the peak without the page cache of now, rounded up: set more if the peak had less cache; " +
				"spegel's chart sets GOMEMLIMIT to the whole memory limit, 90 % of it would be 115MiB",
		},
		{
			"CPU only, and no memory.peak", Limits{Cores: 0.5}, resources.CheckWarning, "CPU limit 500m, no memory limit",
			"memory.peak is unavailable: set limits.memory to 1.5 times what it uses",
		},
		{
			"the peak was page cache", Limits{Cores: 0.5, Peak: 100 * mebibyte}, resources.CheckWarning,
			"CPU limit 500m, no memory limit, memory.peak 100 MiB, without the page cache of now 0 B",
			"set in the HelmRelease of spegel: spec: {values: {resources: {limits: {memory: 128Mi}}}}; memory is 1.5 times the peak without the page cache of now, " +
				"rounded up: set more if the peak had less cache; spegel's chart sets GOMEMLIMIT to the whole memory limit, 90 % of it would be 115MiB",
		},
		{"both", Limits{Cores: 0.25, Memory: 256 * mebibyte}, resources.CheckOK, "CPU limit 250m, memory limit 256 MiB", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, Check{Name: "limits", State: test.state, Message: "a/b/c: " + test.found, Fix: test.want}, test.limits.Check("a/b/c"))
		})
	}
}

// TestLimits_FixIsYAML: the lines can be copied into a HelmRelease.
func TestLimits_FixIsYAML(t *testing.T) {
	_, rest, found := strings.Cut(Limits{Peak: 200 * mebibyte, Used: 93 * mebibyte}.Check("a/b/c").Fix, "HelmRelease of spegel: ")
	require.True(t, found)

	lines, _, _ := strings.Cut(rest, ";")

	var release map[string]any

	require.NoError(t, yaml.Unmarshal([]byte(lines), &release))
	assert.Equal(t, map[string]any{"spec": map[string]any{"values": map[string]any{"resources": map[string]any{
		"requests": map[string]any{"cpu": "100m"}, "limits": map[string]any{"cpu": "500m", "memory": "192Mi"},
	}}}}, release)
}

func TestSuggested(t *testing.T) {
	for used, want := range map[uint64]uint64{1: 128, 85 << 20: 128, 86 << 20: 192, 128 << 20: 192, 200 << 20: 320, 1 << 30: 1536} {
		assert.Equal(t, want, suggested(used)/mebibyte, "%d bytes used", used)
	}
}

func TestDoctor_ReadsLimits(t *testing.T) {
	const (
		pod       = "kubepods/burstable/pod0a1b2c3d-0000-4000-8000-000000000001"
		container = pod + "/5f2a"
	)

	type files map[string]string

	// What kubelet writes for a container without limits.
	none := files{
		"cpu.max": "max 100000\n", "memory.max": "max\n", "memory.high": "max\n", "memory.peak": "104857600\n",
		"memory.stat": "anon 31457280\nfile 52428800\nkernel 1048576\nshmem 10485760\n",
	}

	for _, test := range []struct {
		name           string
		container, pod files
		ceiling        *resources.CeilingStatusSpec
		want           Limits
		unreadable     bool
	}{
		{name: "none", want: Limits{Peak: 100 * mebibyte, Used: 60 * mebibyte}},
		{name: "of the container", container: files{"cpu.max": "50000 100000\n", "memory.max": "134217728\n"},
			want: Limits{Cores: 0.5, Memory: 128 * mebibyte, Peak: 100 * mebibyte, Used: 60 * mebibyte}},
		{name: "of the pod", pod: files{"cpu.max": "50000 100000\n", "memory.max": "134217728\n"},
			want: Limits{Cores: 0.5, Memory: 128 * mebibyte, Peak: 100 * mebibyte, Used: 60 * mebibyte}},
		{name: "the lower one", container: files{"cpu.max": "200000 100000\n", "memory.max": "268435456\n"},
			pod:  files{"cpu.max": "50000 100000\n", "memory.max": "134217728\n"},
			want: Limits{Cores: 0.5, Memory: 128 * mebibyte, Peak: 100 * mebibyte, Used: 60 * mebibyte}},
		{name: "memory.high", container: files{"memory.high": "67108864\n", "memory.max": "134217728\n"},
			want: Limits{Memory: 64 * mebibyte, Peak: 100 * mebibyte, Used: 60 * mebibyte}},
		{name: "a ceiling is no limit", container: files{"cpu.max": "50001 100000\n"},
			ceiling: &resources.CeilingStatusSpec{ContainerID: "5f2a", OwnerLimit: "max 100000", Applied: "50001 100000"},
			want:    Limits{Peak: 100 * mebibyte, Used: 60 * mebibyte}},
		{name: "a ceiling over a limit", container: files{"cpu.max": "50001 100000\n"},
			ceiling: &resources.CeilingStatusSpec{ContainerID: "5f2a", OwnerLimit: "80000 100000", Applied: "50001 100000"},
			want:    Limits{Cores: 0.8, Peak: 100 * mebibyte, Used: 60 * mebibyte}},
		{name: "a ceiling of the container before", container: files{"cpu.max": "80000 100000\n"},
			ceiling: &resources.CeilingStatusSpec{ContainerID: "0000", OwnerLimit: "max 100000", Applied: "50001 100000"},
			want:    Limits{Cores: 0.8, Peak: 100 * mebibyte, Used: 60 * mebibyte}},
		{name: "a ceiling that was lifted", container: files{"cpu.max": "80000 100000\n"},
			ceiling: &resources.CeilingStatusSpec{ContainerID: "5f2a", OwnerLimit: "max 100000"},
			want:    Limits{Cores: 0.8, Peak: 100 * mebibyte, Used: 60 * mebibyte}},
		{name: "more cache now than at the peak", container: files{"memory.stat": "file 209715200\n"}, want: Limits{Peak: 100 * mebibyte}},
		{name: "Linux before 5.19", container: files{"memory.peak": ""}},
		{name: "no memory controller", container: files{"memory.max": ""}, unreadable: true},
		{name: "no such cgroup", container: files{"cpu.max": ""}, unreadable: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			require.NoError(t, os.MkdirAll(filepath.Join(root, container), 0o700))

			for path, changed := range map[string]files{container: test.container, pod: test.pod} {
				for name, text := range none {
					if other, ok := changed[name]; ok {
						text = other
					}

					if text != "" {
						require.NoError(t, os.WriteFile(filepath.Join(root, path, name), []byte(text), 0o600))
					}
				}
			}

			got, ok := Doctor{Cgroup: root}.limits(&resources.TargetSpec{ContainerID: "5f2a", Cgroup: container}, test.ceiling)
			assert.Equal(t, !test.unreadable, ok)
			assert.Equal(t, test.want, got)
		})
	}
}
