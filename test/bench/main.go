//go:build linux

// Command bench measures in the test machine what the guard costs: a sample side by side with what it could cost at
// least and with the library the field uses, the system calls of a tick, and what the whole guard takes beside
// other watchers of the same containers.
//
// Its output is for people; the line that begins with result.Mark is for the report.
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
	only := flag.Bool("calibrate", false, "only the work that is the same on every machine")
	flag.Parse()
	testing.Init()

	if err := run(context.Background(), *only); err != nil {
		fmt.Println("bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only bool) error {
	var (
		found result.Guest
		err   error
	)

	if found.Calibration, err = calibrate(); err != nil {
		return err
	}

	if only {
		return write(found)
	}

	if found.Kernel, err = kernel(); err != nil {
		return err
	}

	if found.Samples, err = compare(); err != nil {
		return err
	}

	fmt.Println("Starting containerd ...")

	n, err := node.Start(ctx)
	if err != nil {
		return err
	}

	for _, step := range []func(context.Context, *node.Node, *result.Guest) error{count, usages, watched, reactions} {
		if err := step(ctx, n, &found); err != nil {
			return err
		}
	}

	return write(found)
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
