// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"sync"

	"github.com/spegel-guard/spegel-guard/test/vm"
	"github.com/spegel-guard/spegel-guard/test/vm/plan"
)

// runTests runs the tests of packages that match a regular expression. Machines that share them run side by side; the output of
// one after another is printed.
func (b *builder) runTests(ctx context.Context, boot bootOptions, packages []string, pattern string, verbose bool) (int, error) {
	var binaries []string

	for _, pkg := range packages {
		binary := filepath.Join(b.dir, filepath.Base(pkg)+".test")

		if err := goTool(ctx, "test", "-c", "-tags", b.tags, "-ldflags", "-s -w", "-o", binary, pkg); err != nil {
			return 0, err
		}

		b.files[inGuest(binary)] = binary
		binaries = append(binaries, binary)
	}

	shares, err := divide(ctx, binaries, pattern, boot.machines)
	if err != nil {
		return 0, err
	}

	codes, errs, outputs := make([]int, len(shares)), make([]error, len(shares)), make([]bytes.Buffer, len(shares))

	var (
		running sync.WaitGroup
		failed  failures
	)

	for i, selected := range shares {
		out := io.Writer(&outputs[i])
		if i == 0 {
			out = os.Stdout
		}

		out = failed.watch(out)

		running.Go(func() { codes[i], errs[i] = b.boot(ctx, boot, programs(boot, selected, verbose), out) })
	}

	running.Wait()

	code := 0

	for i := range shares {
		os.Stdout.Write(outputs[i].Bytes()) //nolint:errcheck // there is no other output

		code = max(code, codes[i])
	}

	failed.print(os.Stdout)

	return code, errors.Join(errs...)
}

func inGuest(binary string) string { return path.Join("/tests", filepath.Base(binary)) }

// programs returns those that run a machine's tests.
func programs(boot bootOptions, tests []selection, verbose bool) []plan.Program {
	programs := make([]plan.Program, 0, len(tests))

	for _, selected := range tests {
		program := plan.Program{
			Path: inGuest(selected.binary),
			Dir:  "/tests",
			Args: []string{"-test.timeout=" + boot.timeout.String(), "-test.failfast", "-test.run=" + selected.pattern},
			Env:  []string{vm.GuestEnv + "=1"},
		}

		if verbose {
			program.Args = append(program.Args, "-test.v")
		}

		programs = append(programs, program)
	}

	return programs
}
