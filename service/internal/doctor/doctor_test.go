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

func TestRecentKernels(t *testing.T) {
	for release, want := range map[string]bool{
		"6.18.1-talos": true, "5.7": true, "5.7-rc1": true, "10.0.0": true, "5.6.19": false, "4.20.0": false, "": false, "next": false, "6": false,
	} {
		assert.Equal(t, want, recent(release), release)
	}
}

func TestCertificates(t *testing.T) {
	now := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	store := &identity.Store{}

	assert.Equal(t, Skipped, Doctor{}.certificates(now).State)
	assert.Equal(t, Failed, Doctor{Identities: store}.certificates(now).State)

	const day = 24 * time.Hour

	for name, test := range map[string]struct {
		valid, left   time.Duration
		state, wanted string
	}{
		"long valid":            {365 * day, 30 * day, OK, "valid until 2026-12-24T03:00:00Z"},
		"last day":              {365 * day, time.Hour, Warning, "expire in 1h0m0s"},
		"Talos', new":           {day, day - time.Minute, OK, "valid until 2026-11-25T02:59:00Z"},
		"Talos', to be renewed": {day, 12 * time.Hour, OK, "valid until 2026-11-24T15:00:00Z"},
		"Talos', not renewed":   {day, 5 * time.Hour, Warning, "expire in 5h0m0s"},
		"expired":               {day, -time.Hour, Failed, "expired 1h0m0s ago"},
	} {
		t.Run(name, func(t *testing.T) {
			store.Set(&identity.Identity{NotBefore: now.Add(test.left - test.valid), NotAfter: now.Add(test.left)})

			check := Doctor{Identities: store}.certificates(now)
			assert.Equal(t, test.state, check.State)
			assert.Equal(t, test.wanted, check.Message)
			assert.Equal(t, test.state != OK, check.Fix != "", "a fix for what is wrong, and for nothing else")
		})
	}
}

// TestAPatientWithEverythingWrong: each is named, and has a fix.
func TestAPatientWithEverythingWrong(t *testing.T) {
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
	condition.TypedSpec().Set(resources.ReasonBadConfig, "line 1")
	require.NoError(t, st.Create(ctx, condition))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "enforce"), []byte("1"), 0o600))

	checks, err := Doctor{
		Cgroup: dir, SELinux: dir, CRI: filepath.Join(dir, "cri"), Run: filepath.Join(dir, "gone"), State: st, Identities: &identity.Store{},
	}.Checks(ctx)
	require.NoError(t, err)

	got := map[string]string{}

	for _, check := range checks {
		got[check.Name] = check.State

		if check.State == Failed || check.State == Warning {
			assert.NotEmpty(t, check.Fix, check.Name)
			assert.NotEmpty(t, check.Message, check.Name)
		}
	}

	assert.Equal(t, map[string]string{
		"kernel": OK, "cgroup": Failed, "cri": Failed, "machined": Skipped, "memory": Warning, "certificates": Failed,
		"config": Failed, "cpu.max": Failed, "signals": Warning,
	}, got)
}

func TestEveryReasonHasAFix(t *testing.T) {
	for _, reason := range []string{
		resources.ReasonBadConfig, resources.ReasonRestartRequired, resources.ReasonNotServed, resources.ReasonCRI, resources.ReasonNoTarget, resources.ReasonNoCgroup2, resources.ReasonNotPermitted,
		resources.ReasonSamplingError, resources.ReasonWriteError, resources.ReasonNoController, resources.ReasonThreaded, resources.ReasonFrozen,
		resources.ReasonNoLock, resources.ReasonNoCertificate, resources.ReasonBadJournal,
	} {
		assert.NotEmpty(t, fixes[reason], reason)
	}
}

func TestSocketsAreAskedForAnAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")

	assert.Equal(t, Warning, Doctor{}.socket(t.Context(), "x", path, Warning, "fix").State)

	listener, err := net.Listen("unix", path)
	require.NoError(t, err)

	assert.Equal(t, Check{Name: "x", State: OK, Message: path}, Doctor{}.socket(t.Context(), "x", path, Warning, "fix"))

	// A socket that nobody listens on any more is still a file.
	listener.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:forcetypeassert // it is one
	require.NoError(t, listener.Close())
	assert.Equal(t, Failed, Doctor{}.socket(t.Context(), "x", path, Failed, "fix").State)
}
