// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/nodestat"
)

// mount is an NFS mount as /proc/<pid>/mountstats shows it.
func mount(point string, readBytes, writeBytes, reads, readMilliseconds int) string {
	return fmt.Sprintf(`device nas:/export mounted on %s with fstype nfs4 statvers=1.1
	opts:	rw,vers=4.2
	age:	100
	impl_id:	name='nas',domain='example.org',date='1,0'
	caps:	caps=0x3ffbffff,wtmult=512,dtsize=1048576,bsize=0,namlen=255
	bytes:	0 0 0 0 %d %d 0 0
	RPC iostats version: 1.1  p/v: 100003/4 (nfs)
	xprt:	tcp 0 1 2 0 0 100 100 0 0 0 2 0 0
	per-op statistics
	        READ: %d %d 0 100 100 5 %d 200 0
	       WRITE: 10 10 0 100 100 5 50 60 0

`, point, readBytes, writeBytes, reads, reads, readMilliseconds)
}

// readNFS reads a procfs with these files of process 1.
func readNFS(t *testing.T, mountstats, mountinfo string) nodestat.NFS {
	t.Helper()

	proc := t.TempDir()
	first := filepath.Join(proc, "1")
	require.NoError(t, os.Mkdir(first, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(first, "mountstats"), []byte(mountstats), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(first, "mountinfo"), []byte(mountinfo), 0o644))

	nfs, err := nodestat.ReadNFS(proc)
	require.NoError(t, err)

	return nfs
}

// twoFileSystems: kubelet mounts a file system many times over; /other is another one.
const twoFileSystems = "20 1 0:40 / /a rw - nfs4 nas:/export rw\n" +
	"21 1 0:40 /sub /b rw - nfs4 nas:/export rw\n" +
	"22 1 0:41 / /other rw - nfs4 nas:/export rw\n"

func TestReadNFS_CountsFileSystemsOnce(t *testing.T) {
	nfs := readNFS(t, "device tmpfs mounted on /run with fstype tmpfs\n"+
		mount("/a", 1000, 2000, 90, 450)+mount("/b", 1000, 2000, 90, 450)+mount("/other", 1, 2, 40, 100), twoFileSystems)

	assert.Equal(t, nodestat.NFS{
		FileSystems: []string{"0:40", "0:41"}, ReadBytes: 1001, WriteBytes: 2002, Operations: 150, RoundTripMilliseconds: 650,
	}, nfs)

	_, err := nodestat.ReadNFS(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// TestReadNFS_WhatCannotBeReadCostsItselfOnly puts a strange mount before, between and after two good ones.
func TestReadNFS_WhatCannotBeReadCostsItselfOnly(t *testing.T) {
	long := strings.Repeat("lowerdir=/var/lib/layer:", 10_000)
	bad := mount("/b", 7, 7, 7, 7)
	inText, _, _ := strings.Cut(bad, "\tcaps:")
	inHead, _, _ := strings.Cut(bad, "\tper-op")

	for name, test := range map[string]struct {
		mountstats, mountinfo string
		// counted: the strange mount has values. incomplete is a part of the reason.
		counted    bool
		incomplete string
	}{
		"empty source":   {mountstats: "device  mounted on /empty with fstype tmpfs\n", mountinfo: "30 1 0:50 / /empty rw - tmpfs  rw\n"},
		"no source":      {mountstats: "no device mounted on /empty with fstype tmpfs\n"},
		"empty line":     {mountstats: "\n\n"},
		"foreign line":   {mountstats: "what is this\n", incomplete: `the line "what is this"`},
		"foreign mounts": {mountinfo: "what is this\n", incomplete: `the line "what is this"`},
		"statistics of another type": {
			mountstats: "device x mounted on /x with fstype lustre statvers=9\n\tbytes:\tmany\n\n", mountinfo: "31 1 0:51 / /x rw - lustre x rw\n",
		},
		"long line": {
			mountstats: "device " + long + " mounted on /o with fstype overlay\n", mountinfo: "32 1 0:52 / /o rw - overlay overlay " + long + "\n",
			incomplete: `failed to parse the line "device lowerdir`,
		},
		"long line of mounts": {mountinfo: "32 1 0:52 / /o rw - overlay overlay " + long + "\n"},
		"unknown transport":   {mountstats: strings.Replace(bad, "xprt:\ttcp 0", "xprt:\tquic a", 1), counted: true},
		"many RDMA counters":  {mountstats: strings.Replace(bad, "xprt:\ttcp 0", "xprt:\trdma"+strings.Repeat(" 1", 40), 1), counted: true},
		"unknown version":     {mountstats: strings.Replace(bad, "statvers=1.1", "statvers=2.0", 1), counted: true},
		"unknown line":        {mountstats: strings.Replace(bad, "\tage:", "\tnew:\tabc\n\tage:", 1), counted: true},
		"server's text with an empty line": {
			mountstats: strings.Replace(bad, "name='nas'", "name='nas\n\nbytes: x'", 1), counted: true,
		},
		"server's text with a mount": {
			mountstats: strings.Replace(bad, "name='nas'", "name='\n"+strings.TrimSpace(mount("/a", 99, 99, 99, 99))[:150], 1), counted: true,
		},
		"server's text without an end": {
			mountstats: strings.Replace(inText, "name='nas'", "name='\n", 1), incomplete: `"nas:/export" on "/b": the line caps: is missing`,
		},
		"value that is not a number": {mountstats: strings.Replace(bad, " 7 7 0 0", " 7 x 0 0", 1), incomplete: `on "/b": value 6 of "bytes:" is "x"`},
		"value above 64 bits": {
			mountstats: strings.Replace(bad, "READ: 7", "READ: 18446744073709551616", 1), incomplete: `on "/b": value 1 of "READ:" is "18446744073709551616"`,
		},
		"negative value":    {mountstats: strings.Replace(bad, "READ: 7", "READ: -7", 1), incomplete: `value 1 of "READ:" is "-7"`},
		"short line":        {mountstats: strings.Replace(bad, " 7 7 0 0\n", "\n", 1), incomplete: `"bytes:" has 4 values, at least 6 are needed`},
		"without bytes":     {mountstats: strings.Replace(bad, "bytes:", "octets:", 1), incomplete: "the line bytes: is missing"},
		"without operation": {mountstats: inHead, incomplete: "the line per-op statistics is missing"},
	} {
		// A text without an end takes what follows, so that it stands last.
		for _, before := range []bool{true, name == "server's text without an end"} {
			t.Run(fmt.Sprintf("%s/first %t", name, !before), func(t *testing.T) {
				good := mount("/a", 1000, 2000, 90, 450)
				mountinfo := test.mountinfo + "20 1 0:40 / /a rw - nfs4 nas:/export rw\n21 1 0:41 / /b rw - nfs4 nas:/export rw\n"

				mountstats := test.mountstats + good
				if before {
					mountstats = good + test.mountstats
				}

				want := nodestat.NFS{FileSystems: []string{"0:40"}, ReadBytes: 1000, WriteBytes: 2000, Operations: 100, RoundTripMilliseconds: 500}
				if test.counted {
					want = nodestat.NFS{FileSystems: []string{"0:40", "0:41"}, ReadBytes: 1007, WriteBytes: 2007, Operations: 117, RoundTripMilliseconds: 557}
				}

				nfs := readNFS(t, mountstats, mountinfo)

				if test.incomplete == "" {
					assert.NoError(t, nfs.Incomplete)
				} else {
					assert.ErrorContains(t, nfs.Incomplete, test.incomplete)
				}

				nfs.Incomplete = nil
				assert.Equal(t, want, nfs)
			})
		}
	}
}

// TestReadNFS_CountsNoForgedMount: a server's own text ends its mount and begins another, which takes the place of a real one.
func TestReadNFS_CountsNoForgedMount(t *testing.T) {
	forged := strings.Replace(mount("/b", 7, 7, 7, 7), "name='nas'", "name='\n\tcaps:\n\tbytes:\t0 0 0 0 0 0 0 0\n\tper-op statistics\n"+
		mount("/a", 99, 99, 99, 99), 1)

	nfs := readNFS(t, forged+mount("/a", 1000, 2000, 90, 450), twoFileSystems)
	assert.ErrorContains(t, nfs.Incomplete, `"nas:/export" on "/a" more than once`)
	assert.Less(t, nfs.ReadBytes, uint64(99))
}

func TestReadNFS_NamesFirstOfManyMounts(t *testing.T) {
	nfs := readNFS(t, mount("/a", 1, 2, 3, 4)+strings.Repeat("strange\n", 1000), twoFileSystems)
	assert.Equal(t, []string{"0:40"}, nfs.FileSystems)
	require.ErrorContains(t, nfs.Incomplete, "; and 997 more")
	assert.Less(t, len(nfs.Incomplete.Error()), 500)
}

func TestReadNFS_OfThisMachine(t *testing.T) {
	nfs, err := nodestat.ReadNFS("/proc")
	require.NoError(t, err)
	assert.NoError(t, nfs.Incomplete)
}
