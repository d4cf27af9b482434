// SPDX-License-Identifier: MPL-2.0

package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/test/incident"
)

// TestFigures_AllocationOfRecordings: every text that says what affected pods and culprits allocate has the measured values.
func TestFigures_AllocationOfRecordings(t *testing.T) {
	format := compare.Alloc.Format
	peer, least, culprit := format(incident.PeerAllocation), format(incident.LeastCulpritAllocation), format(incident.CulpritAllocation)

	for path, figures := range map[string][]string{
		"docs/rules.md":                  {peer, least},
		"docs/spegelguardctl.md":         {peer, least},
		"docs/margins.md":                {peer, least, culprit},
		"docs/usage.md":                  {peer, culprit},
		"cmd/spegelguardctl/compare.go":  {peer},
		"internal/compare/compare.go":    {peer, least},
		"docs/adr/0011-default-rules.md": {peer, culprit},
	} {
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)

		for _, figure := range figures {
			assert.True(t, strings.Contains(string(text), figure), "%s does not have %s", path, figure)
		}
	}
}
