// SPDX-License-Identifier: MPL-2.0

package cgroup

import "errors"

var (
	// ErrNotUnified says that there is no unified cgroup v2 hierarchy to work with.
	ErrNotUnified = errors.New("no unified cgroup v2 hierarchy")
	// ErrGone says that the cgroup was removed.
	ErrGone = errors.New("cgroup is gone")
)
