// SPDX-License-Identifier: MPL-2.0

// Package discover finds the containers to guard.
package discover

import (
	"context"
	"errors"
	"time"
)

// Selector says which containers are wanted.
type Selector struct {
	// Namespace of the pod; empty is any.
	Namespace string
	// PodLabels must all be on the pod.
	PodLabels map[string]string
	// Container name.
	Container string
	// Process is the executable's base name, for sources that know no labels.
	Process string
}

// MatchesPod tells whether a pod's containers are wanted.
func (s Selector) MatchesPod(namespace string, labels map[string]string) bool {
	if s.Namespace != "" && s.Namespace != namespace {
		return false
	}

	for key, value := range s.PodLabels {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}

	return true
}

// Container is a running container.
type Container struct {
	Namespace, Pod, Name string
	// PodUID is Kubernetes' identity of the pod, ID the runtime's of the container.
	PodUID, ID string
	// PID of the first process, in the PID namespace of the procfs that is used.
	PID int
	// Image as the runtime names it; empty when unknown.
	Image string
	// Started is when the container started; zero when unknown.
	Started time.Time
	// Source that found it.
	Source string
}

// Workload identifies what the container is an instance of: it stays the same over container restarts.
func (c Container) Workload() string {
	return c.Namespace + "/" + c.Pod + "/" + c.Name
}

// Answer is what a source found.
type Answer struct {
	// Containers that run and match. None is no error.
	Containers []Container
	// Unlabelled is why the pods' labels could not be compared, so that the containers were told by their
	// executable; nil when they were compared.
	Unlabelled error
}

// Source is a way to find containers.
type Source interface {
	// Name of the source, for people.
	Name() string
	// Find returns the running containers that match.
	Find(ctx context.Context, selector Selector) (Answer, error)
}

// ErrUnreachable says that a source cannot be asked at the moment.
var ErrUnreachable = errors.New("unreachable")

// Find asks the sources in order and takes the answer of the first that can give one.
//
// The error joins what the sources before that one said; when none could answer, the answer's Unlabelled
// is that error, too.
func Find(ctx context.Context, selector Selector, sources ...Source) (Answer, error) {
	var errs error

	for _, source := range sources {
		answer, err := source.Find(ctx, selector)
		if err == nil {
			return answer, errs
		}

		errs = errors.Join(errs, err)
	}

	return Answer{Unlabelled: errs}, errs
}
