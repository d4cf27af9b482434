// SPDX-License-Identifier: MPL-2.0

package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

// Procfs finds containers by their process alone, for when no runtime answers.
//
// It knows no labels, so it goes by three facts together: the executable's name, a cgroup as kubelet
// makes it for a pod's container, and the process being the container's first.
type Procfs struct {
	root string
}

// NewProcfs returns a source for the procfs mounted at root.
func NewProcfs(root string) *Procfs { return &Procfs{root: root} }

// Name implements Source.
func (p *Procfs) Name() string { return "procfs" }

// kubepods matches the end of a container's cgroup path with kubelet's cgroupfs driver
// (kubepods/burstable/pod<uid>/<id>) and its systemd driver
// (kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope).
var kubepods = regexp.MustCompile(
	`/kubepods(?:\.slice)?/(?:[^/]+/)?(?:kubepods[^/]*-)?pod([0-9a-f]{8}[-_][0-9a-f_-]{27})(?:\.slice)?/(?:[a-z-]+-)?([0-9a-f]{64})(?:\.scope)?$`)

// Find implements Source.
func (p *Procfs) Find(_ context.Context, selector Selector) (Answer, error) {
	entries, err := os.ReadDir(p.root)
	if err != nil {
		return Answer{}, fmt.Errorf("procfs %s: %w: %w", p.root, ErrUnreachable, err)
	}

	var found []Container

	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}

		// A process that ends while it is looked at is no match.
		if container, ok := p.inspect(pid, selector); ok {
			found = append(found, container)
		}
	}

	return Answer{Containers: found, Unlabelled: errNoLabels}, nil
}

var errNoLabels = errors.New("procfs knows no labels")

func (p *Procfs) inspect(pid int, selector Selector) (Container, bool) {
	dir := filepath.Join(p.root, strconv.Itoa(pid))

	if !runs(dir, selector.Process) {
		return Container{}, false
	}

	data, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil {
		return Container{}, false
	}

	path, err := cgroup.ParseProcCgroup(data)
	if err != nil {
		return Container{}, false
	}

	match := kubepods.FindStringSubmatch(path)
	if match == nil || p.parentIn(dir, path) {
		return Container{}, false
	}

	container := Container{
		Name:   selector.Container,
		PodUID: strings.ReplaceAll(match[1], "_", "-"),
		ID:     match[2],
		PID:    pid,
		Source: p.Name(),
	}

	container.Pod, container.Namespace = podIdentity(dir)

	if container.Pod == "" {
		container.Pod = container.PodUID
	}

	if selector.Namespace != "" && container.Namespace != selector.Namespace {
		return Container{}, false
	}

	return container, true
}

// parentIn tells whether a process's parent is in the same cgroup: then it is not the container's first.
func (p *Procfs) parentIn(dir, path string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return true // it ended
	}

	for line := range bytes.Lines(data) {
		value, ok := bytes.CutPrefix(line, []byte("PPid:"))
		if !ok {
			continue
		}

		parent, err := os.ReadFile(filepath.Join(p.root, string(bytes.TrimSpace(value)), "cgroup"))
		if err != nil {
			return false // the parent is out of sight, and so no part of the container
		}

		parentPath, err := cgroup.ParseProcCgroup(parent)

		return err == nil && parentPath == path
	}

	return true
}

// podIdentity is what a container can tell of its pod: the host name is the pod's name, and the
// service account's mount (where there is one) holds the namespace.
func podIdentity(dir string) (pod, namespace string) {
	environ, err := os.ReadFile(filepath.Join(dir, "environ"))
	if err == nil {
		for entry := range bytes.SplitSeq(environ, []byte{0}) {
			if value, ok := bytes.CutPrefix(entry, []byte("HOSTNAME=")); ok {
				pod = string(value)
			}
		}
	}

	data, err := os.ReadFile(filepath.Join(dir, "root/var/run/secrets/kubernetes.io/serviceaccount/namespace"))
	if err == nil && len(data) <= 63 {
		namespace = strings.TrimSpace(string(data))
	}

	return pod, namespace
}
