// SPDX-License-Identifier: MPL-2.0

package client

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWithPort(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1":                 "10.0.0.1:50321",
		"10.0.0.1:50000":           "10.0.0.1:50000",
		"node":                     "node:50321",
		"fd00::1":                  "[fd00::1]:50321",
		"[fd00::1]":                "[fd00::1]:50321",
		"[fd00::1]:1":              "[fd00::1]:1",
		"https://10.0.0.1:50000":   "10.0.0.1:50000",
		"https://node":             "node:50321",
		"https://[fd00::1]":        "[fd00::1]:50321",
		"https://[fd00::1]:50000/": "[fd00::1]:50000",
	} {
		t.Run(address, func(t *testing.T) { assert.Equal(t, want, withPort(address)) })
	}
}

// TestGuards: the port of apid in a talosconfig's endpoint is not the guard's.
func TestGuards(t *testing.T) {
	assert.Equal(t, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3:1", "node"},
		guards([]string{"10.0.0.1", "https://10.0.0.2:50000", "10.0.0.3:1", "https://node"}))
}
