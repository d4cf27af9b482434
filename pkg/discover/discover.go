// SPDX-License-Identifier: MPL-2.0

// Package discover finds the containers to guard.
package discover

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Selector selects containers.
type Selector struct {
	// Namespace of the pod; empty is any.
	Namespace string
	// PodLabels must all be on the pod.
	PodLabels map[string]string
	// Container name.
	Container string
	// Process is the base name of the executable, for sources without labels.
	Process string
	// PodUIDs are the pods of which a source without labels may find containers, whatever Namespace is; nil is any. Such a
	// source may then leave out the names of the pods.
	PodUIDs map[string]bool
}

// selectsUID reports whether a source without labels may find containers of the pod.
func (s Selector) selectsUID(uid string) bool { return s.PodUIDs == nil || s.PodUIDs[uid] }

// MatchesPod reports whether the selector selects containers of the pod.
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
	// Source that found it.
	Source string
}

// Workload returns <namespace>/<pod>/<container>, which stays the same when the container restarts.
func (c Container) Workload() string {
	return c.Namespace + "/" + c.Pod + "/" + c.Name
}

// Validate returns an error for names that Kubernetes would not accept: a source may have them from the container itself.
func (c Container) Validate() error {
	for _, name := range []struct {
		field, value string
		problems     []string
	}{
		{"namespace", c.Namespace, validation.IsDNS1123Label(c.Namespace)},
		{"pod", c.Pod, validation.IsDNS1123Subdomain(c.Pod)},
		{"name", c.Name, validation.IsDNS1123Label(c.Name)},
	} {
		// A container without a service account does not show its namespace.
		if optional := name.field == "namespace" && name.value == ""; len(name.problems) > 0 && !optional {
			return fmt.Errorf("invalid %s %.64q of a container: %s", name.field, name.value, name.problems[0])
		}
	}

	return nil
}

// Answer of a source.
type Answer struct {
	// Containers that run and match, which may be none.
	Containers []Container
	// Skipped are the containers that could not be inspected, by id, with the reason.
	Skipped map[string]error
	// Unlabelled is why the labels of the pods could not be compared. The containers are then selected by their
	// executable. It is nil when the labels were compared.
	Unlabelled error
}

// skip adds a container that could not be inspected.
func (a *Answer) skip(id string, err error) {
	if a.Skipped == nil {
		a.Skipped = map[string]error{}
	}

	a.Skipped[id] = err
}

// Source finds containers.
type Source interface {
	// Name of the source in messages and in Target.source.
	Name() string
	// Find returns the running containers that match.
	Find(ctx context.Context, selector Selector) (Answer, error)
}

// ErrUnreachable reports that a source does not answer.
var ErrUnreachable = errors.New("unreachable")

// Find returns the answer of the first source that gives one. The error joins the errors of the sources before it. When no
// source answers, Unlabelled has that error too.
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
