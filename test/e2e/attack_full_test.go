// SPDX-License-Identifier: MPL-2.0

//go:build linux && attack

package e2e

const attackSize = 1.0
