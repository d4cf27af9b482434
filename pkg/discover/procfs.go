// SPDX-License-Identifier: MPL-2.0

package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

// Procfs finds containers by their processes while no runtime answers. It has no labels. It selects a process that runs the
// executable, is in a cgroup that kubelet created for a pod's container, and is the first process of that cgroup.
type Procfs struct {
	root string
}

// NewProcfs returns a source for the procfs mounted at root.
func NewProcfs(root string) *Procfs { return &Procfs{root: root} }

// Name implements Source.
func (p *Procfs) Name() string { return "procfs" }

// kubepods matches the end of a container's cgroup path with kubelet's cgroupfs driver
// (kubepods/burstable/pod<uid>/<id>) and its systemd driver
// (kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope). The UID of a static pod is a hash without dashes.
var kubepods = regexp.MustCompile(
	`/kubepods(?:\.slice)?/(?:[^/]+/)?(?:kubepods[^/]*-)?pod([0-9a-f]{8}[-_][0-9a-f_-]{27}|[0-9a-f]{32})(?:\.slice)?/(?:[a-z-]+-)?([0-9a-f]{64})(?:\.scope)?$`)

// Find implements Source.
func (p *Procfs) Find(_ context.Context, selector Selector) (Answer, error) {
	fs, err := procfs.NewFS(p.root)
	if err != nil {
		return Answer{}, fmt.Errorf("procfs %s: %w: %w", p.root, ErrUnreachable, err)
	}

	processes, err := fs.AllProcs()
	if err != nil {
		return Answer{}, fmt.Errorf("procfs %s: %w: %w", p.root, ErrUnreachable, err)
	}

	var found []Container

	for _, process := range processes {
		// A process that ends during its inspection is no match.
		if container, ok := p.inspect(process, selector); ok {
			found = append(found, container)
		}
	}

	return Answer{Containers: found, Unlabelled: errNoLabels}, nil
}

var errNoLabels = errors.New("procfs has no labels")

func (p *Procfs) inspect(process procfs.Proc, selector Selector) (Container, bool) {
	dir := p.dir(process.PID)

	if !runs(dir, selector.Process) {
		return Container{}, false
	}

	path, err := cgroupOf(dir)
	if err != nil {
		return Container{}, false
	}

	match := kubepods.FindStringSubmatch(path)
	if match == nil || !p.isFirst(process, path) {
		return Container{}, false
	}

	uid := strings.ReplaceAll(match[1], "_", "-")
	if !selector.selectsUID(uid) {
		return Container{}, false
	}

	container := Container{
		Name:   selector.Container,
		PodUID: uid,
		ID:     match[2],
		PID:    process.PID,
		Source: p.Name(),
	}

	// The caller knows the names of these pods, and needs nothing that the container shows.
	if selector.PodUIDs != nil {
		container.Pod = uid

		return container, true
	}

	container.Pod, container.Namespace = podIdentity(dir)
	container.Pod = cmp.Or(container.Pod, uid)

	if selector.Namespace != "" && container.Namespace != selector.Namespace {
		return Container{}, false
	}

	return container, true
}

// isFirst reports whether a process is the first of its cgroup: its parent is in another one.
func (p *Procfs) isFirst(process procfs.Proc, path string) bool {
	stat, err := process.Stat()
	if err != nil {
		return false // it ended
	}

	// A parent in another PID namespace cannot be read and is not in the container.
	parent, err := cgroupOf(p.dir(stat.PPID))

	return err != nil || parent != path
}

func (p *Procfs) dir(pid int) string { return filepath.Join(p.root, strconv.Itoa(pid)) }

// cgroupOf returns the cgroup of the process of a directory in procfs.
func cgroupOf(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil {
		return "", err
	}

	return cgroup.ParseProcCgroup(data)
}
