// SPDX-License-Identifier: MPL-2.0

package discover_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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
	for name, test := range map[string]struct{ path, uid string }{
		"burstable":         {"/kubepods/burstable/pod" + podUID + "/" + containerID, podUID},
		"guaranteed":        {"/kubepods/pod" + podUID + "/" + containerID, podUID},
		"from a namespace":  {"/../../../kubepods/besteffort/pod" + podUID + "/" + containerID, podUID},
		"systemd":           {"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3a87a4fe_3e8c_4ee9_baa0_ba2cbbf4c2f7.slice/cri-containerd-" + containerID + ".scope", podUID},
		"static pod":        {"/kubepods/burstable/pod" + strings.Repeat("ab", 16) + "/" + containerID, strings.Repeat("ab", 16)},
		"systemd, below it": {"/x.slice/kubepods.slice/kubepods-pod3a87a4fe_3e8c_4ee9_baa0_ba2cbbf4c2f7.slice/cri-containerd-" + containerID + ".scope", podUID},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			process(t, root, "9", "/shim", "/podruntime", "1")
			process(t, root, "10", "/app/spegel (deleted)", test.path, "9")
			process(t, root, "11", "/app/spegel", test.path, "10")            // forked by the first
			process(t, root, "12", "/usr/bin/spegel", "/system/shell", "1")   // no container
			process(t, root, "13", "/app/other", test.path, "9")              // no spegel
			require.NoError(t, os.MkdirAll(filepath.Join(root, "14"), 0o755)) // ended
			require.NoError(t, os.MkdirAll(filepath.Join(root, "sys"), 0o755))

			answer, err := discover.NewProcfs(root).Find(t.Context(), selector())
			found := answer.Containers
			require.NoError(t, err)
			require.Len(t, found, 1)

			assert.Equal(t, 10, found[0].PID)
			assert.Equal(t, containerID, found[0].ID)
			assert.Equal(t, test.uid, found[0].PodUID)
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

// TestProcfs_BelievesNoContainer: the files that show a pod's name belong to the container.
func TestProcfs_BelievesNoContainer(t *testing.T) {
	path := "/kubepods/burstable/pod" + podUID + "/" + containerID
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("stolen"), 0o600))

	for name, test := range map[string]struct {
		hostname       string
		namespace      func(file string) error
		pod, wantSpace string
	}{
		"names": {"spegel-x", func(file string) error { return os.WriteFile(file, []byte("spegel\n"), 0o600) }, "spegel-x", "spegel"},
		"long host name": {
			strings.Repeat("x", 100_000), func(string) error { return nil }, podUID, "",
		},
		"control characters": {
			"a\x1b[31m", func(file string) error { return os.WriteFile(file, []byte("b\x1b[31m"), 0o600) }, podUID, "",
		},
		"pipe":           {"spegel-x", func(file string) error { return unix.Mkfifo(file, 0o600) }, "spegel-x", ""},
		"link to a host": {"spegel-x", func(file string) error { return os.Symlink(secret, file) }, "spegel-x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			process(t, root, "9", "/shim", "/podruntime", "1")
			process(t, root, "10", "/app/spegel", path, "9")

			account := filepath.Join(root, "10/root/var/run/secrets/kubernetes.io/serviceaccount")
			require.NoError(t, os.MkdirAll(account, 0o755))
			require.NoError(t, test.namespace(filepath.Join(account, "namespace")))
			require.NoError(t, os.WriteFile(filepath.Join(root, "10/environ"), []byte("A=b\x00HOSTNAME="+test.hostname+"\x00"), 0o600))

			answer, err := discover.NewProcfs(root).Find(t.Context(), selector())
			require.NoError(t, err)
			require.Len(t, answer.Containers, 1)
			assert.Equal(t, test.pod, answer.Containers[0].Pod)
			assert.Equal(t, test.wantSpace, answer.Containers[0].Namespace)

			other := selector()
			other.PodUIDs = map[string]bool{"another": true}

			answer, err = discover.NewProcfs(root).Find(t.Context(), other)
			require.NoError(t, err)
			assert.Empty(t, answer.Containers)
		})
	}
}

func TestContainer_Validate(t *testing.T) {
	for name, test := range map[string]struct {
		container discover.Container
		want      string
	}{
		"good":              {discover.Container{Namespace: "spegel", Pod: "spegel-1.x", Name: "registry"}, ""},
		"without namespace": {discover.Container{Pod: podUID, Name: "registry"}, ""},
		"slash":             {discover.Container{Namespace: "a/b", Pod: "c", Name: "d"}, `invalid namespace "a/b"`},
		"control":           {discover.Container{Namespace: "a", Pod: "c\n", Name: "d"}, `invalid pod "c\n"`},
		"no name":           {discover.Container{Namespace: "a", Pod: "c"}, `invalid name ""`},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.container.Validate()
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.want)
			}
		})
	}
}
