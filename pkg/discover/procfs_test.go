// SPDX-License-Identifier: MPL-2.0

package discover_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
)

const (
	podUID      = "3a87a4fe-3e8c-4ee9-baa0-ba2cbbf4c2f7"
	containerID = "7a5121cca31ba507cb9e76c1bdb8113b5876b2a6ea503f8e7cb9ef8bf3a607e8"
)

// process writes what procfs shows of one process.
func process(t *testing.T, root, pid, exe, cgroup, parent string) {
	t.Helper()

	dir := filepath.Join(root, pid)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.Symlink(exe, filepath.Join(dir, "exe")))

	for name, content := range map[string]string{
		"cgroup": "0::" + cgroup + "\n", "stat": pid + " (x y) S " + parent + strings.Repeat(" 0", 49) + "\n", "environ": "A=b\x00HOSTNAME=spegel-x\x00",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
}

func TestProcfs_FindsFirstProcessOfContainer(t *testing.T) {
	for name, path := range map[string]string{
		"burstable":         "/kubepods/burstable/pod" + podUID + "/" + containerID,
		"guaranteed":        "/kubepods/pod" + podUID + "/" + containerID,
		"from a namespace":  "/../../../kubepods/besteffort/pod" + podUID + "/" + containerID,
		"systemd":           "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3a87a4fe_3e8c_4ee9_baa0_ba2cbbf4c2f7.slice/cri-containerd-" + containerID + ".scope",
		"systemd, below it": "/x.slice/kubepods.slice/kubepods-pod3a87a4fe_3e8c_4ee9_baa0_ba2cbbf4c2f7.slice/cri-containerd-" + containerID + ".scope",
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			process(t, root, "9", "/shim", "/podruntime", "1")
			process(t, root, "10", "/app/spegel (deleted)", path, "9")
			process(t, root, "11", "/app/spegel", path, "10")                 // forked by the first
			process(t, root, "12", "/usr/bin/spegel", "/system/shell", "1")   // no container
			process(t, root, "13", "/app/other", path, "9")                   // no spegel
			require.NoError(t, os.MkdirAll(filepath.Join(root, "14"), 0o755)) // ended
			require.NoError(t, os.MkdirAll(filepath.Join(root, "sys"), 0o755))

			answer, err := discover.NewProcfs(root).Find(t.Context(), selector())
			found := answer.Containers
			require.NoError(t, err)
			require.Len(t, found, 1)

			assert.Equal(t, 10, found[0].PID)
			assert.Equal(t, containerID, found[0].ID)
			assert.Equal(t, podUID, found[0].PodUID)
			assert.Equal(t, "spegel-x", found[0].Pod)

			one := selector()
			one.Namespace = "elsewhere"

			answer, err = discover.NewProcfs(root).Find(t.Context(), one)
			found = answer.Containers
			require.NoError(t, err)
			assert.Empty(t, found)
		})
	}
}

func TestProcfs_Unreachable(t *testing.T) {
	_, err := discover.NewProcfs(filepath.Join(t.TempDir(), "none")).Find(t.Context(), selector())
	assert.ErrorIs(t, err, discover.ErrUnreachable)
}
