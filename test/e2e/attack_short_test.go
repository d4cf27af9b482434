// SPDX-License-Identifier: MPL-2.0

//go:build linux && !attack

package e2e

// attackSize is the part of the full attack (make attack) that is part of every test run.
const attackSize = 0.1
