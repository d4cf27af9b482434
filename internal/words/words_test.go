// SPDX-License-Identifier: MPL-2.0

package words_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/words"
)

func TestOr(t *testing.T) {
	for _, test := range []struct {
		alternatives []string
		list         string
	}{
		{nil, ""}, {[]string{"a"}, "a"}, {[]string{"a", "b"}, "a or b"}, {[]string{"a", "b", "c"}, "a, b or c"},
	} {
		assert.Equal(t, test.list, words.Or(test.alternatives))
	}
}
