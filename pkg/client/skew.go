// SPDX-License-Identifier: MPL-2.0

package client

import "github.com/blang/semver/v4"

// MaxSkew is how many minor versions a client and a guard may be apart (docs/versioning.md).
const MaxSkew = 2

// WithinSkew reports whether a client and a guard of these versions work together. Versions that are no releases, such as dev, do
// with the same version only.
func WithinSkew(client, guard string) bool {
	if client == guard {
		return true
	}

	a, errA := semver.ParseTolerant(client)
	b, errB := semver.ParseTolerant(guard)

	return errA == nil && errB == nil && a.Major == b.Major && max(a.Minor, b.Minor)-min(a.Minor, b.Minor) <= MaxSkew
}
