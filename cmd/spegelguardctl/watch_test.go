// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// TestAgain_PrintsEachOutage once, although the errors of both are the same.
func TestAgain_PrintsEachOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			stderr       bytes.Buffer
			calls, shown int
			ctx, cancel  = context.WithCancel(t.Context())
		)

		show := func(...output.Item) error {
			shown++

			return nil
		}

		again(ctx, &app{stderr: &stderr}, &client.Node{Name: "a"}, show, func(show func(...output.Item) error) error {
			calls++

			switch calls {
			case 3:
				assert.NoError(t, show(output.Item{}))
			case 5:
				cancel()
			}

			return errors.New("down")
		})

		assert.Equal(t, "a: down\na: down\n", stderr.String())
		assert.Equal(t, 1, shown)
	})
}
