// SPDX-License-Identifier: MPL-2.0

package support

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	guard "github.com/spegel-guard/spegel-guard/pkg/resources"
)

// defining is a guard with a number of types, each with one resource.
type defining struct {
	state.State

	types int
	item  resource.Resource
}

func (d defining) List(_ context.Context, kind resource.Kind, _ ...state.ListOption) (resource.List, error) {
	if kind.Type() != meta.ResourceDefinitionType {
		return resource.List{Items: []resource.Resource{d.item}}, nil
	}

	var all resource.List

	for i := range d.types {
		definition, err := meta.NewResourceDefinition(meta.ResourceDefinitionSpec{Type: fmt.Sprintf("%sThings.example.org", strings.Repeat("X", i)), DefaultNamespace: "n"})
		if err != nil {
			return resource.List{}, err
		}

		all.Items = append(all.Items, definition)
	}

	return all, nil
}

// TestCollect_HasNoControlCharacters: people read the files on a terminal.
func TestCollect_HasNoControlCharacters(t *testing.T) {
	const text = "a\u009b31m\u202eb\x1b[2J"

	item := guard.NewGuardStatus(guard.GuardStatusID)
	item.TypedSpec().Message = text

	files := append(resources(t.Context(), &client.Node{Resources: defining{types: 1, item: item}}),
		document("a.json", map[string]string{"a": text}, nil), failed("b", errors.New(text)))
	require.Len(t, files, 3)

	for _, file := range files {
		assert.False(t, strings.ContainsFunc(string(file.Data), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }), "%s: %q", file.Path, file.Data)
	}
}

// TestResources_AreBounded: a node decides how many types it defines, and how much it has of each.
func TestResources_AreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		types, message int
		want           int
		cut            bool
	}{
		"usual":          {3, 1, 3, false},
		"most":           {maxTypes, 1, maxTypes, false},
		"too many types": {maxTypes + 2, 1, maxTypes, true},
		"too large":      {12, 2 << 20, 8, true},
	} {
		t.Run(name, func(t *testing.T) {
			item := guard.NewGuardStatus(guard.GuardStatusID)
			item.TypedSpec().Message = strings.Repeat("x", test.message)

			files := resources(t.Context(), &client.Node{Resources: defining{types: test.types, item: item}})

			if test.cut {
				require.Len(t, files, test.want+1)
				assert.Equal(t, failed("resources", errTooMuch), files[test.want])
			} else {
				require.Len(t, files, test.want)
			}
		})
	}
}
