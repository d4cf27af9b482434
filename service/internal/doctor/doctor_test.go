// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

func TestKernel_MustBeRecent(t *testing.T) {
	for release, want := range map[string]bool{
		"6.18.1-talos": true, "5.7": true, "5.7-rc1": true, "10.0.0": true, "5.6.19": false, "4.20.0": false, "": false, "next": false, "6": false,
	} {
		t.Run(release, func(t *testing.T) { assert.Equal(t, want, recent(release)) })
	}
}

func TestDoctor_ChecksCertificates(t *testing.T) {
	now := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	store := &identity.Store{}

	assert.Equal(t, resources.CheckSkipped, Doctor{}.certificates(now).State)
	assert.Equal(t, resources.CheckFailed, Doctor{Identities: store}.certificates(now).State)

	const day = 24 * time.Hour

	for name, test := range map[string]struct {
		valid, left    time.Duration
		state, message string
	}{
		"long valid":            {365 * day, 30 * day, resources.CheckOK, "valid until 2026-12-24T03:00:00Z"},
		"last day":              {365 * day, time.Hour, resources.CheckWarning, "expire in 1h"},
		"Talos', new":           {day, day - time.Minute, resources.CheckOK, "valid until 2026-11-25T02:59:00Z"},
		"Talos', to be renewed": {day, 12 * time.Hour, resources.CheckOK, "valid until 2026-11-24T15:00:00Z"},
		"Talos', not renewed":   {day, 5 * time.Hour, resources.CheckWarning, "expire in 5h"},
		"expired":               {day, -time.Hour, resources.CheckFailed, "expired 1h ago"},
	} {
		t.Run(name, func(t *testing.T) {
			store.Set(&identity.Identity{NotBefore: now.Add(test.left - test.valid), NotAfter: now.Add(test.left)})

			check := Doctor{Identities: store}.certificates(now)
			assert.Equal(t, test.state, check.State)
			assert.Equal(t, test.message, check.Message)
			assert.Equal(t, test.state != resources.CheckOK, check.Fix != "", "each problem has a fix")
		})
	}
}

func TestDoctor_NamesAFixForEachProblem(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(ctx, st))

	target := resources.NewTarget("spegel/spegel-1/registry")
	target.TypedSpec().Cgroup = "kubepods/gone"
	require.NoError(t, st.Create(ctx, target))

	stats := resources.NewTargetStats("spegel/spegel-1/registry")
	stats.TypedSpec().Application.AllocBytesPerSecond = resources.Reading{Provenance: resources.ProvenanceUnavailable, Reason: "refused"}
	require.NoError(t, st.Create(ctx, stats))

	condition := resources.NewCondition(resources.ConditionConfig)
	condition.TypedSpec().Set(resources.ReasonBadConfig, "line 1", time.Second)
	require.NoError(t, st.Create(ctx, condition))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "enforce"), []byte("1"), 0o600))

	checks, err := Doctor{
		Cgroup: dir, SELinux: dir, CRI: filepath.Join(dir, "cri"), Saved: filepath.Join(dir, "gone"), State: st, Identities: &identity.Store{},
	}.Checks(ctx)
	require.NoError(t, err)

	got := map[string]string{}

	for _, check := range checks {
		got[check.Name] = check.State

		if check.State == resources.CheckFailed || check.State == resources.CheckWarning {
			assert.NotEmpty(t, check.Fix, check.Name)
			assert.NotEmpty(t, check.Message, check.Name)
		}
	}

	assert.Equal(t, map[string]string{
		"kernel": resources.CheckOK, "cgroup": resources.CheckFailed, "cri": resources.CheckFailed, "machined": resources.CheckSkipped,
		"saved state": resources.CheckWarning, "certificates": resources.CheckFailed, "config": resources.CheckFailed,
		"cpu.max": resources.CheckFailed, "signals": resources.CheckWarning,
	}, got)
}

// TestCPUMax: what to do depends on what is missing, and a guard that only observes needs nothing.
func TestCPUMax(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cpu.max"), nil, 0o600))

	d := Doctor{Cgroup: dir, SELinux: dir}

	assert.Equal(t, Check{Name: "cpu.max", State: resources.CheckOK, Message: "a: can be written"}, d.cpuMax("a", ".", false))

	none := d.cpuMax("a", "gone", false)
	assert.Equal(t, []string{resources.CheckFailed, resources.Fix(resources.ReasonNoController)}, []string{none.State, none.Fix})
	assert.Equal(t, resources.CheckWarning, d.cpuMax("a", "gone", true).State)

	// The kernel refuses access to what is below a file with another error.
	other := d.cpuMax("a", "cpu.max", false)
	assert.Equal(t, []string{resources.CheckFailed, resources.Fix(resources.ReasonNotPermitted)}, []string{other.State, other.Fix})
}

func TestSocket_NeedsAListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")

	assert.Equal(t, resources.CheckWarning, socket(t.Context(), "x", path, resources.CheckWarning, "fix").State)

	listener, err := net.Listen("unix", path)
	require.NoError(t, err)

	assert.Equal(t, Check{Name: "x", State: resources.CheckOK, Message: path}, socket(t.Context(), "x", path, resources.CheckWarning, "fix"))

	// The file of a socket stays when its listener ends.
	listener.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:forcetypeassert // net.Listen("unix") returns one
	require.NoError(t, listener.Close())
	assert.Equal(t, resources.CheckFailed, socket(t.Context(), "x", path, resources.CheckFailed, "fix").State)
}

// TestSignals_MissingMetricsOfSpegelAreNoFault: each version of spegel exports others, and the newest none.
func TestSignals_MissingMetricsOfSpegelAreNoFault(t *testing.T) {
	spec := &resources.TargetStatsSpec{
		CPU: resources.Measured(1), TXBytesPerSecond: resources.Measured(1), RXBytesPerSecond: resources.Measured(1),
		ThrottledRatio: resources.Measured(0), CPUPressure: resources.Measured(0),
	}
	none := resources.Unavailable("the target exports no spegel_advertised_keys")
	spec.Application = resources.ApplicationStats{
		AllocBytesPerSecond: resources.Measured(1), AdvertisedImages: none, AdvertisedTags: none, AdvertisedDigests: none, AdvertisedKeys: none,
		AdvertisedContentDigests: none, MirrorRequestsPerSecond: none, MirrorHitsPerSecond: none, MirrorHitRatio: none, MirrorLastSuccess: none,
		ResolveSeconds: none, Ready: none,
	}

	assert.Equal(t, Check{Name: "signals", State: resources.CheckOK, Message: "registry: all signals are available"}, signals("registry", spec))
}
