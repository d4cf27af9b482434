// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command bench measures the cost of the guard in the test machine: the time of a sample, compared with its system calls alone
// and with containerd/cgroups, the system calls of a tick, the usage compared with other watchers of the same containers, and
// the reaction time.
//
// The report (test/bench/report) reads the line of the output that begins with result.Mark.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
	"github.com/spegel-guard/spegel-guard/test/node"
)

func main() {
	only := flag.String("only", "", "run one part: calibrate (on any machine), compare, count, usages, watched or reactions")
	flag.Parse()
	testing.Init()

	if err := run(context.Background(), *only); err != nil {
		fmt.Println("bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	var found result.Guest

	for _, step := range []struct {
		name string
		do   func(context.Context, *result.Guest) error
	}{
		{"calibrate", calibrate}, {"compare", compare}, {"count", onNode(count)}, {"usages", onNode(usages)}, {"watched", onNode(watched)},
		{"reactions", onNode(reactions)},
	} {
		if only != "" && only != step.name {
			continue
		}

		if err := step.do(ctx, &found); err != nil {
			return fmt.Errorf("%s failed: %w", step.name, err)
		}
	}

	return write(found)
}

// onNode starts the node for the first step that needs it.
var theNode *node.Node

func onNode(do func(context.Context, *node.Node, *result.Guest) error) func(context.Context, *result.Guest) error {
	return func(ctx context.Context, found *result.Guest) (err error) {
		if theNode == nil {
			fmt.Println("Starting containerd ...")

			if found.Kernel, err = kernel(); err != nil {
				return err
			}

			if theNode, err = node.Start(ctx); err != nil {
				return err
			}
		}

		return do(ctx, theNode, found)
	}
}

func write(found result.Guest) error {
	text, err := json.Marshal(found)
	if err != nil {
		return err
	}

	fmt.Println(result.Mark + string(text))

	return nil
}

func kernel() (string, error) {
	var name unix.Utsname

	if err := unix.Uname(&name); err != nil {
		return "", err
	}

	return unix.ByteSliceToString(name.Release[:]), nil
}
