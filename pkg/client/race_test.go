// SPDX-License-Identifier: MPL-2.0

//go:build race

package client_test

// raceDetector is whether the race detector watches the tests.
const raceDetector = true
