// SPDX-License-Identifier: MPL-2.0

// Package persist keeps saved state over restarts of the service, in small files on a file system that ends with the
// boot (/run): one file of decisions and one of overrides.
//
// The journal on a cgroup says how to restore the owner's limit and ends with the container. Saved state belongs to
// the workload: a hold continues after a stop that released the ceiling, and a crash does not reset the back-off.
package persist

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/spegel-guard/spegel-guard/internal/fault"
	"github.com/spegel-guard/spegel-guard/internal/regular"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// version of the format.
const version = 1

// maxSize of the file in bytes: a workload takes about 300.
const maxSize = 16 << 20

// Entry is one entry of a file.
type Entry interface {
	// IsZero reports whether there is nothing to save.
	IsZero() bool
}

// Workload is the saved state of one workload.
type Workload struct {
	policy.Memory
	// Yielded is the Since of the hold that yielded to an external change of cpu.max (conflict: yield).
	Yielded time.Duration `json:"yielded,omitempty"`
}

// File keeps entries by name. Without a path it keeps none.
type File[T Entry] struct {
	Path string
	// BootID: clocks of another boot mean nothing in this one.
	BootID string
}

type document[T Entry] struct {
	Version int          `json:"version"`
	BootID  string       `json:"bootID"`
	Entries map[string]T `json:"entries"`
}

// Load returns the saved entries by name. A missing file, or one of another boot, has none.
func (f File[T]) Load() (map[string]T, error) {
	if f.Path == "" {
		return map[string]T{}, nil
	}

	data, err := regular.ReadFile(f.Path, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]T{}, nil
	}

	if err != nil {
		return map[string]T{}, fmt.Errorf("failed to read the saved state: %w", err)
	}

	var doc document[T]

	if err := json.Unmarshal(data, &doc); err != nil {
		return map[string]T{}, fmt.Errorf("failed to read the saved state in %s: %w", f.Path, err)
	}

	switch {
	case doc.Version != version:
		return map[string]T{}, fmt.Errorf("failed to read the saved state in %s: version %d, this guard reads version %d", f.Path, doc.Version, version)
	case doc.BootID != f.BootID, doc.Entries == nil:
		return map[string]T{}, nil
	}

	return doc.Entries, nil
}

// Save replaces the entries. Without entries there is no file.
func (f File[T]) Save(entries map[string]T) error {
	kept := map[string]T{}

	for name, entry := range entries {
		if !entry.IsZero() {
			kept[name] = entry
		}
	}

	if f.Path == "" {
		return nil
	}

	if len(kept) == 0 {
		return f.Remove()
	}

	data, err := json.Marshal(document[T]{Version: version, BootID: f.BootID, Entries: kept})
	if err != nil {
		return fmt.Errorf("failed to write the saved state: %w", err)
	}

	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("failed to write the saved state: %w", err)
	}

	if err := renameio.WriteFile(f.Path, data, 0o600); err != nil {
		return fmt.Errorf("failed to write the saved state: %w", err)
	}

	fault.Point(fault.Saved)

	return nil
}

// Remove removes the file.
func (f File[T]) Remove() error {
	if f.Path == "" {
		return nil
	}

	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("failed to remove the saved state: %w", err)
	}

	return nil
}
