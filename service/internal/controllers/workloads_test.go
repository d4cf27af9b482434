// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// TestWorkloads_SaveAfterAFailure: a failure removes the file, so that no hold of before begins again, and the state from before it is
// saved like any other.
func TestWorkloads_SaveAfterAFailure(t *testing.T) {
	file := persist.File[persist.Workload]{Path: filepath.Join(t.TempDir(), "state.json"), BootID: "boot"}
	before := persist.Workload{Yielded: time.Second}
	w := newWorkloads(map[resource.ID]persist.Workload{"a/b/c": before}, 0)

	_, err := w.save(file)
	require.NoError(t, err)

	// A directory is not replaced.
	require.NoError(t, os.Remove(file.Path))
	require.NoError(t, os.Mkdir(file.Path, 0o700))
	w.keep("a/b/c", persist.Workload{Yielded: time.Minute}, 0)

	stale, err := w.save(file)
	require.Error(t, err)
	assert.False(t, stale)
	assert.NoDirExists(t, file.Path)

	w.keep("a/b/c", before, 0)

	_, err = w.save(file)
	require.NoError(t, err)

	saved, err := file.Load()
	require.NoError(t, err)
	assert.Equal(t, map[string]persist.Workload{"a/b/c": before}, saved)
}
