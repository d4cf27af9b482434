// SPDX-License-Identifier: MPL-2.0

package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
)

// Folder is one capture. Make one with Evidence.Create.
type Folder struct {
	// Dir is its directory.
	Dir string

	config config.Evidence
}

// Write saves a text as of a time, which becomes the time of the file unless it is zero. It returns an error if the text is longer
// than evidence.limit.
func (f *Folder) Write(name string, text []byte, at time.Time) error {
	if limit := int64(f.config.Limit.Bytes); int64(len(text)) > limit {
		return fmt.Errorf("%d bytes are more than evidence.limit, %d bytes", len(text), limit)
	}

	path := filepath.Join(f.Dir, name)

	err := os.WriteFile(path, text, 0o600)
	if err == nil && !at.IsZero() {
		err = os.Chtimes(path, at, at)
	}

	if err != nil {
		return errors.Join(fmt.Errorf("failed to save evidence: %w", err), os.RemoveAll(path))
	}

	return nil
}

// Metrics asks a target for its metrics at a path and saves the answer. A file that fails half-way is removed.
func (f *Folder) Metrics(ctx context.Context, source Source, name, path string) error {
	ctx, cancel := context.WithTimeout(ctx, gometrics.Timeout)
	defer cancel()

	name = filepath.Join(f.Dir, name)

	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("failed to save evidence: %w", err)
	}

	err = source.Save(ctx, path, file, int64(f.config.Limit.Bytes))

	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}

	return nil
}

// Finish removes the directory if nothing was saved. It returns the directory, or "" if it was removed.
func (f *Folder) Finish() string {
	// os.Remove succeeds only if the directory is empty.
	if os.Remove(f.Dir) == nil {
		return ""
	}

	return f.Dir
}
