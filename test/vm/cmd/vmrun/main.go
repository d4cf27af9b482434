// SPDX-License-Identifier: MPL-2.0

// Command vmrun runs Go tests or a program of this project inside the test machine.
//
//	vmrun test [-run REGEXP] [-tags TAGS] [-machines N] PACKAGE...   build the packages' tests and run them
//	vmrun exec PROGRAM [ARG...]                                      build and run a main package in the guest
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vmrun:", err)

		code = 1
	}

	os.Exit(code)
}

func run(args []string) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("missing command: must be test or exec")
	}

	flags := flag.NewFlagSet("vmrun "+args[0], flag.ContinueOnError)
	timeout := flags.Duration("timeout", 15*time.Minute, "timeout of the boot and the programs")
	memory := flags.Int("memory", 3072, "memory of the guest in MiB")
	machines := flags.Int("machines", 1, "number of machines that share the tests")
	pattern := flags.String("run", "", "run only tests matching the regular expression")
	tags := flags.String("tags", "", "build tags of the guard and of the tests")
	verbose := flags.Bool("v", false, "print every test")
	tools, files := pairs{}, pairs{}
	flags.Var(tools, "tool", "copy a program of this machine with its libraries to /usr/bin of the guest (NAME=PATH)")
	flags.Var(files, "file", "copy a file of this machine to the working folder of tests and programs (NAME=PATH)")

	if err := flags.Parse(args[1:]); err != nil {
		return 0, err
	}

	if *machines < 1 {
		return 0, fmt.Errorf("invalid -machines %d: must be at least 1", *machines)
	}

	if flags.NArg() == 0 {
		return 0, errors.New("nothing to run")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	build, err := newBuilder(ctx, *tags)
	if err != nil {
		return 0, err
	}

	defer build.close()

	for name, path := range tools {
		if err := build.addTool(ctx, name, path); err != nil {
			return 0, err
		}
	}

	for name, path := range files {
		build.files["/tests/"+name] = path
	}

	boot := bootOptions{timeout: *timeout, memoryMiB: *memory, machines: *machines}

	switch args[0] {
	case "test":
		return build.runTests(ctx, boot, flags.Args(), *pattern, *verbose)
	case "exec":
		return build.runProgram(ctx, boot, flags.Arg(0), flags.Args()[1:])
	default:
		return 0, fmt.Errorf("unknown command %q: must be test or exec", args[0])
	}
}

// pairs is a flag that can be repeated with different names.
type pairs map[string]string

// String implements flag.Value.
func (p pairs) String() string { return fmt.Sprint(map[string]string(p)) }

// Set implements flag.Value.
func (p pairs) Set(text string) error {
	name, path, ok := strings.Cut(text, "=")
	if !ok {
		return fmt.Errorf("invalid value %q: must be NAME=PATH", text)
	}

	p[name] = path

	return nil
}
