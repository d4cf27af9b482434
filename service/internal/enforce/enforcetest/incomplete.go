// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforcetest

import (
	"errors"

	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// Incomplete returns the node with searches that find what is there and also fail.
func Incomplete(node enforce.Node, failure error) enforce.Node {
	find := node.Find
	node.Find = func() ([]string, error) {
		paths, err := find()

		return paths, errors.Join(err, failure)
	}

	return node
}
