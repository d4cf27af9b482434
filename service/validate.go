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

// validateCommand checks a document without a node: it can run wherever the image does.
const validateCommand = "config validate"

// validate prints the mistakes in a document, one per line.
func validate(path string, out io.Writer) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("failed to read the configuration: %w", err)
	}

	_, err = config.Parse(document)

	var wrong config.Errors

	switch {
	case err == nil:
		fmt.Fprintln(out, path, "is valid") //nolint:errcheck // the exit code has the result

		return nil
	case !errors.As(err, &wrong):
		return err
	}

	for _, mistake := range wrong {
		fmt.Fprintln(out, mistake) //nolint:errcheck // the exit code has the result
	}

	return fmt.Errorf("invalid configuration: %d mistakes in %s", len(wrong), path)
}
