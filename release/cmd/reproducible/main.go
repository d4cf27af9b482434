// SPDX-License-Identifier: MPL-2.0

// Command reproducible builds the extension's image from two copies of the committed source, in folders and with build caches of
// their own, and fails if the digests differ.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "reproducible:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	dir, err := os.MkdirTemp("", "spegel-guard-reproducible-")
	if err != nil {
		return fmt.Errorf("failed to create a folder: %w", err)
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	var digests []string

	for _, folder := range []string{"a", "another/folder"} {
		digest, err := build(ctx, filepath.Join(dir, folder), filepath.Join(dir, "cache-"+filepath.Base(folder)))
		if err != nil {
			return err
		}

		fmt.Println(digest)

		digests = append(digests, digest)
	}

	if digests[0] != digests[1] {
		return fmt.Errorf("the digests of two builds differ: %s and %s", digests[0], digests[1])
	}

	return nil
}

var digest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// build builds the image from a copy of HEAD and returns its digest.
func build(ctx context.Context, tree, cache string) (string, error) {
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return "", fmt.Errorf("failed to create a folder: %w", err)
	}

	source, err := exec.CommandContext(ctx, "git", "archive", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("failed to read the committed source: %w", err)
	}

	unpack := exec.CommandContext(ctx, "tar", "-x", "-C", tree)
	unpack.Stdin = bytes.NewReader(source)

	if text, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("failed to unpack the source: %w: %s", err, text)
	}

	cmd := exec.CommandContext(ctx, "go", "run", "./extension/cmd/mkextension")
	cmd.Dir = tree
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GOCACHE="+cache)

	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("failed to build the image: %w", err)
	}

	found := digest.Find(out)
	if found == nil {
		return "", fmt.Errorf("mkextension printed no digest: %q", out)
	}

	return string(found), nil
}
