// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/pki"
)

// TestKeeper_ReportsChangesOnce: a source that is polled gives the same material, or fails in the same way, each time.
func TestKeeper_ReportsChangesOnce(t *testing.T) {
	authority, err := pki.New()
	require.NoError(t, err)

	newMaterial := func() Material {
		server, err := authority.Server("127.0.0.1")
		require.NoError(t, err)

		return Material{CAs: [][]byte{authority.CA()}, Server: *server}
	}

	var (
		store   Store
		reports []error
	)

	k := keeper{store: &store, report: func(err error) { reports = append(reports, err) }}
	a, b := newMaterial(), newMaterial()

	twice := func(do func()) []error {
		reports = nil

		do()
		do()

		return reports
	}

	assert.Equal(t, []error{nil}, twice(func() { k.take(a) }))

	first, _ := store.Current()
	require.NotNil(t, first)

	assert.Equal(t, []error{io.EOF}, twice(func() { k.fail(io.EOF) }))
	assert.Equal(t, []error{nil}, twice(func() { k.take(a) }))

	last, _ := store.Current()
	assert.Same(t, first, last, "the last valid identity has stayed in force")

	assert.Equal(t, []error{nil}, twice(func() { k.take(b) }))

	last, _ = store.Current()
	assert.NotSame(t, first, last)
}
