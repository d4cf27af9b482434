// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package enforcetest has a cgroup in memory for tests of what writes ceilings.
package enforcetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// Unlimited is cpu.max without a limit, as the kernel shows it.
const Unlimited = "max 100000"

// Cgroup is a cgroup in memory. It behaves as cgroup.Dir does on the kernel; tests of pkg/cgroup compare that one with
// the kernel itself.
type Cgroup struct {
	mu      sync.Mutex
	inode   uint64
	max     string
	burst   uint64
	journal *cgroup.Journal

	// errors that methods return, by the method's name.
	errors map[string]error
	// onApply runs before a ceiling is written.
	onApply func()
}

// Node is a node of cgroups in memory, by path.
type Node struct {
	mu      sync.Mutex
	cgroups map[string]*Cgroup
	ending  bool
	// Failures are those that were observed.
	Failures []error
}

// NewNode returns a node without cgroups.
func NewNode() *Node { return &Node{cgroups: map[string]*Cgroup{}} }

// Enforce returns the node for package enforce.
func (n *Node) Enforce() enforce.Node {
	return enforce.Node{
		BootID: "boot",
		Open: func(path string) (enforce.Cgroup, error) {
			n.mu.Lock()
			defer n.mu.Unlock()

			if c, ok := n.cgroups[path]; ok {
				return c, nil
			}

			return nil, fmt.Errorf("failed to open cgroup %s: %w", path, cgroup.ErrGone)
		},
		Find: func() ([]string, error) {
			n.mu.Lock()
			defer n.mu.Unlock()

			var paths []string

			for path, c := range n.cgroups {
				if c.journal != nil || c.errors["ReadJournal"] != nil {
					paths = append(paths, path)
				}
			}

			return paths, nil
		},
		Ending: func(int, uint64) bool {
			n.mu.Lock()
			defer n.mu.Unlock()

			return n.ending
		},
		Failed: func(err error) {
			n.mu.Lock()
			defer n.mu.Unlock()

			n.Failures = append(n.Failures, err)
		},
	}
}

// Create makes a cgroup with a cpu.max.
func (n *Node) Create(path, cpuMax string, inode uint64) *Cgroup {
	n.mu.Lock()
	defer n.mu.Unlock()

	c := &Cgroup{max: cpuMax, inode: inode, errors: map[string]error{}}
	n.cgroups[path] = c

	return c
}

// Remove removes a cgroup: every method of it returns cgroup.ErrGone from then on.
func (n *Node) Remove(path string) {
	n.mu.Lock()
	defer n.mu.Unlock()

	if c := n.cgroups[path]; c != nil {
		for _, method := range []string{"Controllable", "ReadCPUMax", "Apply", "Restore", "ReadJournal", "WriteJournal"} {
			c.Fail(method, cgroup.ErrGone)
		}
	}

	delete(n.cgroups, path)
}

// End lets every process of the node end.
func (n *Node) End() {
	n.mu.Lock()
	defer n.mu.Unlock()

	n.ending = true
}

// Fail lets a method return an error; nil lets it succeed again.
func (c *Cgroup) Fail(method string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.errors[method] = err
}

// OnApply runs a function before the next ceiling is written.
func (c *Cgroup) OnApply(do func()) { c.onApply = do }

// Write is an external change of cpu.max.
func (c *Cgroup) Write(cpuMax string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.max = cpuMax
}

// WriteBurst is an external change of cpu.max.burst. Ceilings leave it as it is.
func (c *Cgroup) WriteBurst(usec uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.burst = usec
}

// CPUMax is the content of cpu.max.
func (c *Cgroup) CPUMax() string {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.max
}

// Journal is the one on the cgroup; nil for none.
func (c *Cgroup) Journal() *cgroup.Journal {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.journal
}

// SetJournal leaves a journal as an earlier process would have.
func (c *Cgroup) SetJournal(j cgroup.Journal) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.journal = &j
}

// ID implements enforce.Cgroup.
func (c *Cgroup) ID() cgroup.ID { return cgroup.ID{Inode: c.inode} }

// Controllable implements enforce.Cgroup.
func (c *Cgroup) Controllable() error { return c.failure("Controllable") }

// ReadCPUMax implements enforce.Cgroup.
func (c *Cgroup) ReadCPUMax() (cgroup.CPUMax, error) {
	if err := c.failure("ReadCPUMax"); err != nil {
		return cgroup.CPUMax{}, err
	}

	return cgroup.ParseCPUMax(c.CPUMax())
}

// ReadBurst implements enforce.Cgroup.
func (c *Cgroup) ReadBurst() (uint64, error) {
	if err := c.failure("ReadBurst"); err != nil {
		return 0, err
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	return c.burst, nil
}

// Apply implements enforce.Cgroup.
func (c *Cgroup) Apply(j cgroup.Journal) (cgroup.CPUMax, error) {
	if do := c.onApply; do != nil {
		c.onApply = nil
		do()
	}

	if err := c.failure("Apply"); err != nil {
		return cgroup.CPUMax{}, err
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	current, err := cgroup.ParseCPUMax(c.max)
	if err != nil {
		return cgroup.CPUMax{}, err
	}

	if c.max != j.OwnerLimit && !j.Ours(current) {
		c.journal = nil

		return cgroup.CPUMax{}, cgroup.ErrChanged
	}

	j.Previous = ""
	c.max, c.journal = j.Applied, &j

	return cgroup.ParseCPUMax(j.Applied)
}

// Restore implements enforce.Cgroup.
func (c *Cgroup) Restore(j cgroup.Journal) (cgroup.CPUMax, error) {
	if err := c.failure("Restore"); err != nil {
		return cgroup.CPUMax{}, err
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	current, err := cgroup.ParseCPUMax(c.max)
	if err != nil {
		return cgroup.CPUMax{}, err
	}

	if j.Ours(current) {
		c.max = j.OwnerLimit
	}

	c.journal = nil

	return cgroup.ParseCPUMax(c.max)
}

// ReadJournal implements enforce.Cgroup.
func (c *Cgroup) ReadJournal() (cgroup.Journal, error) {
	if err := c.failure("ReadJournal"); err != nil {
		return cgroup.Journal{}, err
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	if c.journal == nil {
		return cgroup.Journal{}, cgroup.ErrNoJournal
	}

	return *c.journal, nil
}

// WriteJournal implements enforce.Cgroup.
func (c *Cgroup) WriteJournal(j cgroup.Journal) error {
	if err := c.failure("WriteJournal"); err != nil {
		return err
	}

	c.SetJournal(j)

	return nil
}

// Close implements enforce.Cgroup.
func (*Cgroup) Close() error { return nil }

func (c *Cgroup) failure(method string) error {
	c.mu.Lock()
	defer c.mu.Unlock()

	if errors.Is(c.errors[method], ErrPanic) {
		panic(method)
	}

	return c.errors[method]
}

// ErrPanic as the error of a method lets it panic.
var ErrPanic = errors.New("panic")

// ErrBroken is a failure without a meaning of its own.
var ErrBroken = errors.New("broken")
