// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// namespace is a Namespace of the kernel.
type namespace struct{ *netns.Namespace }

func openNamespace(node host.Host, target resources.TargetSpec) (Namespace, error) {
	opened, err := node.OpenNamespace(target)
	if err != nil {
		return nil, err
	}

	return namespace{Namespace: opened}, nil
}

// Links implements Namespace.
func (n namespace) Links() (LinksReader, error) {
	links, err := n.Namespace.Links()
	if err != nil {
		return nil, err // a nil *Links is not a nil LinksReader
	}

	return links, nil
}
