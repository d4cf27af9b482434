// SPDX-License-Identifier: MPL-2.0

package task_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exempt are folders whose packages the daemon does not have: the client's, and helpers of tests.
var exempt = []string{"pkg/client", "service/fleettest", "service/internal/api/apitest", "service/internal/enforce/enforcetest"}

// TestGoroutines_RunTasks: a panic in a goroutine ends the process, whatever the others recover from. So each go statement, each
// Go method and each AfterFunc of the daemon has a function of package task.
func TestGoroutines_RunTasks(t *testing.T) {
	checked := 0

	for _, root := range []string{"service", "pkg", "internal"} {
		err := filepath.WalkDir(filepath.Join("../..", root), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || isExempt(path) {
				return err
			}

			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}

			found, bare := goroutines(t, path, source)
			checked += found

			assert.Empty(t, bare, "start these with a function of internal/task")

			return nil
		})
		require.NoError(t, err)
	}

	assert.Greater(t, checked, 10)
}

func isExempt(path string) bool {
	for _, folder := range exempt {
		if strings.HasPrefix(path, filepath.Join("../..", folder)+"/") {
			return true
		}
	}

	return false
}

// goroutines counts the goroutines that a file starts, and returns where they do not run a task.
func goroutines(t *testing.T, path string, source []byte) (found int, bare []string) {
	t.Helper()

	files := token.NewFileSet()

	file, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
	require.NoError(t, err)

	ast.Inspect(file, func(node ast.Node) bool {
		safe := true

		switch node := node.(type) {
		case *ast.GoStmt:
			found++
			safe = isTask(node.Call)
		case *ast.CallExpr:
			method, ok := node.Fun.(*ast.SelectorExpr)
			if !ok || method.Sel.Name != "Go" && method.Sel.Name != "AfterFunc" || len(node.Args) == 0 {
				return true
			}

			found++
			safe = runsTask(node.Args[len(node.Args)-1])
		}

		if !safe {
			bare = append(bare, files.Position(node.Pos()).String())
		}

		return true
	})

	return found, bare
}

// isTask reports whether an expression is a call of package task.
func isTask(expression ast.Expr) bool {
	call, ok := expression.(*ast.CallExpr)
	if !ok {
		return false
	}

	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}

	name, ok := function.X.(*ast.Ident)

	return ok && name.Name == "task"
}

// runsTask reports whether a function consists of a call of package task.
func runsTask(expression ast.Expr) bool {
	function, ok := expression.(*ast.FuncLit)
	if !ok {
		return false
	}

	body := function.Body.List

	if len(body) == 2 {
		if end, ok := body[1].(*ast.ReturnStmt); !ok || len(end.Results) != 1 || !isNil(end.Results[0]) {
			return false
		}

		body = body[:1]
	}

	if len(body) != 1 {
		return false
	}

	switch statement := body[0].(type) {
	case *ast.ExprStmt:
		return isTask(statement.X)
	case *ast.ReturnStmt:
		return len(statement.Results) == 1 && isTask(statement.Results[0])
	default:
		return false
	}
}

func isNil(expression ast.Expr) bool {
	name, ok := expression.(*ast.Ident)

	return ok && name.Name == "nil"
}

// TestGoroutines_FindsBareOnes is of the check itself.
func TestGoroutines_FindsBareOnes(t *testing.T) {
	for source, bare := range map[string]int{
		`go work()`:                                                            1,
		`go func() { work() }()`:                                               1,
		`go func() { task.Do("x", work) }()`:                                   1, // a defer beside it would not be recovered
		`go task.Do("x", work)`:                                                0,
		`go task.Run(ctx, "x", work)`:                                          0,
		`group.Go(work)`:                                                       1,
		`group.Go(func() error { return nil })`:                                1,
		`group.Go(func() error { return task.Step("x", work) })`:               0,
		`group.Go(func() error { task.Run(ctx, "x", work); return nil })`:      0,
		`group.Go(func() error { defer end(); return task.Step("x", work) })`:  1,
		`group.Go(func() error { task.Do("x", work); return other() })`:        1,
		`context.AfterFunc(ctx, work)`:                                         1,
		`time.AfterFunc(second, func() { task.Do("x", work) })`:                0,
		`task.Do("x", func() { go work() })`:                                   1,
		`go task.Do("x", func() { group.Go(func() error { return work() }) })`: 1,
	} {
		t.Run(source, func(t *testing.T) {
			_, found := goroutines(t, "x.go", []byte("package x\nfunc f() { "+source+" }"))
			assert.Len(t, found, bare)
		})
	}
}
