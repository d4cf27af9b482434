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

// Source is a way to find containers.
type Source interface {
	// Name of the source, for people.
	Name() string
	// Find returns the running containers that match. No match is no error.
	Find(ctx context.Context, selector Selector) ([]Container, error)
}

// ErrUnreachable says that a source cannot be asked at the moment.
var ErrUnreachable = errors.New("unreachable")

// Find asks the sources in order and takes the answer of the first that can give one.
//
// The error joins what the sources before that one said: found containers may come with an error,
// which then tells why a better source could not be used.
func Find(ctx context.Context, selector Selector, sources ...Source) ([]Container, error) {
	var errs error

	for _, source := range sources {
		found, err := source.Find(ctx, selector)
		if err == nil {
			return found, errs
		}

		errs = errors.Join(errs, err)
	}

	return nil, errs
}
