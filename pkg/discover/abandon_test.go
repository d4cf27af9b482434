// SPDX-License-Identifier: MPL-2.0

package discover_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
)

// blocking is a source that does not heed its context.
type blocking struct{ end chan struct{} }

func (blocking) Name() string { return "blocking" }

func (b blocking) Find(context.Context, discover.Selector) (discover.Answer, error) {
	<-b.end

	return discover.Answer{Containers: []discover.Container{{Name: "registry"}}}, nil
}

func TestAbandoning_LeavesABlockedSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := blocking{end: make(chan struct{})}
		abandoning := discover.Abandoning(source)

		_, err := abandoning.Find(t.Context(), selector())
		require.ErrorIs(t, err, discover.ErrUnreachable)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		_, err = abandoning.Find(t.Context(), selector())
		require.ErrorIs(t, err, discover.ErrBusy, "one search at a time")

		close(source.end)
		synctest.Wait()

		answer, err := abandoning.Find(t.Context(), selector())
		require.NoError(t, err)
		assert.Len(t, answer.Containers, 1)
	})
}
