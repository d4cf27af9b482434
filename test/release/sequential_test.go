// SPDX-License-Identifier: MPL-2.0

package release_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSequential_StartsNoGoroutine: the race detector may be left out only for packages whose code and tests share nothing between
// goroutines.
func TestSequential_StartsNoGoroutine(t *testing.T) {
	makefile, err := os.ReadFile(root + "/Makefile")
	require.NoError(t, err)

	packages := regexp.MustCompile(`(?m)^SEQUENTIAL := (.*)$`).FindSubmatch(makefile)
	require.NotNil(t, packages)

	for folder := range strings.FieldsSeq(string(packages[1])) {
		t.Run(folder, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
			require.NoError(t, err)
			require.NotEmpty(t, files)

			for _, file := range files {
				assert.Empty(t, concurrent(t, file), "%s: run it with the race detector", file)
			}
		})
	}
}

// concurrent returns what a file has that only goroutines need.
func concurrent(t *testing.T, file string) []string {
	t.Helper()

	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)

	var found []string

	for _, imported := range parsed.Imports {
		switch path := strings.Trim(imported.Path.Value, `"`); path {
		case "sync/atomic", "testing/synctest", "golang.org/x/sync/errgroup", "net", "net/http", "net/http/httptest":
			found = append(found, path)
		}
	}

	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "go")
		case *ast.ChanType:
			found = append(found, "chan")
		case *ast.SelectorExpr:
			switch n.Sel.Name {
			case "Parallel", "Go", "Mutex", "RWMutex", "WaitGroup":
				found = append(found, n.Sel.Name)
			}
		}

		return true
	})

	return found
}
