// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// validateCommand needs nothing of a node: where the image is, its document can be checked.
const validateCommand = "config validate"

// validate prints every mistake in a document on a line of its own.
func validate(path string, out io.Writer) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("error reading the configuration: %w", err)
	}

	_, err = config.Parse(document)

	var wrong config.Errors

	switch {
	case err == nil:
		fmt.Fprintln(out, path, "is valid") //nolint:errcheck // the exit code says it, too

		return nil
	case !errors.As(err, &wrong):
		return err
	}

	for _, mistake := range wrong {
		fmt.Fprintln(out, mistake) //nolint:errcheck // the exit code says it, too
	}

	return fmt.Errorf("%d mistakes in %s", len(wrong), path)
}
