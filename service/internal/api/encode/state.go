// SPDX-License-Identifier: MPL-2.0

// Package encode encodes each version of a resource once for all clients: YAML and protobuf of one cost as much as a sample, and
// a thousand watchers would otherwise have it encoded a thousand times.
package encode

import (
	"context"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/cosi-project/runtime/pkg/state"
)

// maxEncoded is how many encoded versions are kept, about 2 kB each.
const maxEncoded = 256

// State is a state whose resources are encoded: the server of package protobuf/server sends them as they are.
type State struct {
	state.CoreState

	mu      sync.Mutex
	encoded map[version]*protobuf.Resource
}

// version identifies the content of a resource: one that was removed and created again has the same version as before.
type version struct {
	kind             resource.Type
	namespace        resource.Namespace
	id               resource.ID
	version          string
	phase            resource.Phase
	created, updated time.Time
}

// describer is a spec with text for the columns of talosctl.
type describer interface{ Describe() }

// New returns the state with encoded resources.
func New(of state.CoreState) *State {
	return &State{CoreState: of, encoded: map[version]*protobuf.Resource{}}
}

// encode returns a resource as protobuf.FromResource does. It must not be changed.
func (s *State) encode(r resource.Resource) (resource.Resource, error) {
	if r == nil || resource.IsTombstone(r) {
		return r, nil
	}

	md := r.Metadata()
	key := version{
		kind: md.Type(), namespace: md.Namespace(), id: md.ID(), version: md.Version().String(), phase: md.Phase(),
		created: md.Created(), updated: md.Updated(),
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if known, ok := s.encoded[key]; ok {
		return known, nil
	}

	if _, ok := r.Spec().(describer); ok {
		r = r.DeepCopy()
		r.Spec().(describer).Describe() //nolint:forcetypeassert // the copy has the same type
	}

	encoded, err := protobuf.FromResource(r)
	if err != nil {
		return nil, err
	}

	if len(s.encoded) >= maxEncoded {
		clear(s.encoded)
	}

	s.encoded[key] = encoded

	return encoded, nil
}

// Get implements state.CoreState.
func (s *State) Get(ctx context.Context, pointer resource.Pointer, opts ...state.GetOption) (resource.Resource, error) {
	r, err := s.CoreState.Get(ctx, pointer, opts...)
	if err != nil {
		return nil, err
	}

	return s.encode(r)
}

// List implements state.CoreState.
func (s *State) List(ctx context.Context, kind resource.Kind, opts ...state.ListOption) (resource.List, error) {
	list, err := s.CoreState.List(ctx, kind, opts...)
	if err != nil {
		return list, err
	}

	encoded := resource.List{Items: make([]resource.Resource, len(list.Items))}

	for i, r := range list.Items {
		if encoded.Items[i], err = s.encode(r); err != nil {
			return resource.List{}, err
		}
	}

	return encoded, nil
}
