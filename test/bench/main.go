//go:build linux

// Command bench measures in the test machine what a sample costs, side by side with what it could cost
// at least and with the library the field uses, and counts the system calls of a tick.
package main

import (
	"context"
	"fmt"
	"os"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Println("bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if err := compare(); err != nil {
		return err
	}

	return count(ctx)
}
