// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce

import (
	"github.com/spegel-guard/spegel-guard/internal/process"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// Cgroup is an open cgroup that a ceiling is written to: see cgroup.Dir for what each method does.
type Cgroup interface {
	ID() cgroup.ID
	Controllable() error
	ReadCPUMax() (cgroup.CPUMax, error)
	ReadBurst() (uint64, error)
	Apply(j cgroup.Journal) (cgroup.CPUMax, error)
	Restore(j cgroup.Journal) (cgroup.CPUMax, error)
	ReadJournal() (cgroup.Journal, error)
	WriteJournal(j cgroup.Journal) error
	Close() error
}

// Node is where ceilings are written.
type Node struct {
	// BootID of this boot.
	BootID string
	// Open opens a cgroup by its path relative to the root of the hierarchy.
	Open func(path string) (Cgroup, error)
	// Find returns the paths of all cgroups with a journal. Its error names the cgroups that could not be searched; the
	// paths found in all others are returned beside it.
	Find func() ([]string, error)
	// Ending reports whether a process is ending: process.Ending.
	Ending func(pid int, start uint64) bool
	// Failed observes each failure to write or to restore a ceiling; nil for none.
	Failed func(error)
}

// NewNode returns the node of a host.
func NewNode(h host.Host, failed func(error)) Node {
	return Node{
		BootID: h.BootID,
		Open: func(path string) (Cgroup, error) {
			dir, err := cgroup.Open(h.Cgroup, path)
			if err != nil {
				return nil, err // a nil *Dir is not a nil Cgroup
			}

			return dir, nil
		},
		Find: func() ([]string, error) {
			if err := cgroup.CheckRoot(h.Cgroup); err != nil {
				return nil, err
			}

			return cgroup.FindJournals(h.Cgroup)
		},
		Ending: func(pid int, start uint64) bool { return process.Ending(h.Proc, pid, start) },
		Failed: failed,
	}
}

func (n Node) failed(err error) {
	if n.Failed != nil {
		n.Failed(err)
	}
}

// Target is the container that a ceiling is for.
type Target struct {
	// ID of the workload.
	ID string
	// ContainerID as the container runtime has it.
	ContainerID string
	// PID of the first process, and its start time in clock ticks after boot (proc(5), stat).
	PID          int
	PIDStartTime uint64
	// Cgroup is relative to the root of the hierarchy; CgroupInode is its inode.
	Cgroup      string
	CgroupInode uint64
}
