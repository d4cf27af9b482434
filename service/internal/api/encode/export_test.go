// SPDX-License-Identifier: MPL-2.0

package encode

// Len returns how many versions are kept.
func (s *State) Len() int { return len(s.encoded) }
