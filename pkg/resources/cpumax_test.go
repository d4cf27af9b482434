// SPDX-License-Identifier: MPL-2.0

package resources_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestCPUMax_ReadsWhatTheKernelPrints: cpu.max has integers. A node may send any text.
func TestCPUMax_ReadsWhatTheKernelPrints(t *testing.T) {
	for _, test := range []struct {
		text   string
		cores  float64
		ok     bool
		pretty string
	}{
		{"50000 100000", 0.5, true, "500m"},
		{"max 100000", 0, true, "max"},
		{"1 0", 0, false, "1 0"},
		{"", 0, false, ""},
		{"max", 0, false, "max"},
		{"NaN 1", 0, false, "NaN 1"},
		{"+Inf 1", 0, false, "+Inf 1"},
		{"1e308 1e-300", 0, false, "1e308 1e-300"},
		{"-50000 100000", 0, false, "-50000 100000"},
	} {
		t.Run(test.text, func(t *testing.T) {
			cores, ok := resources.CPUMax(test.text)
			assert.InDelta(t, test.cores, cores, 0)
			assert.Equal(t, test.ok, ok)
			assert.Equal(t, test.pretty, resources.PrettyCPUMax(test.text))
		})
	}
}
