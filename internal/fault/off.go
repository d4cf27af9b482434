// SPDX-License-Identifier: MPL-2.0

//go:build !faults

package fault

// Point does nothing in this build.
func Point(string) {}

// Hang does nothing in this build.
func Hang(string) {}
