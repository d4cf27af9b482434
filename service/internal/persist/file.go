// SPDX-License-Identifier: MPL-2.0

// Package persist keeps saved state over restarts of the service: JSON files on a file system that ends with the boot
// (/run), one with the holds and back-offs of the rules (Workload), one with the overrides of people.
//
// A journal on a cgroup says how to restore the owner's limit and is deleted with the container. Saved state belongs to
// the workload: a hold continues after a restart that released the ceiling, and a crash does not reset a back-off.
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

// version of the file format.
const version = 1

// maxSize of a file in bytes. A workload takes about 300.
const maxSize = 16 << 20

// Entry is one value of a file. Entries that are zero are not saved.
type Entry interface {
	IsZero() bool
}

// Workload is the saved state of the rules for one workload.
type Workload struct {
	policy.SavedState
	// Yielded is the Since of the hold that yielded to an external change of cpu.max (conflict: yield).
	Yielded time.Duration `json:"yielded,omitempty"`
}

// IsZero implements Entry. Without it the embedded method would ignore Yielded.
func (w Workload) IsZero() bool { return w == Workload{} }

// File saves entries by name. Without a path it saves nothing.
type File[T Entry] struct {
	Path string
	// BootID identifies this boot. The state of another boot is not loaded: its clocks started elsewhere.
	BootID string
}

type document[T Entry] struct {
	Version int          `json:"version"`
	BootID  string       `json:"bootID"`
	Entries map[string]T `json:"entries"`
}

// Load returns the saved entries by name, none if there is no file or it is of another boot. The map is never nil.
func (f File[T]) Load() (map[string]T, error) {
	none := map[string]T{}

	if f.Path == "" {
		return none, nil
	}

	data, err := regular.ReadFile(f.Path, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}

	if err != nil {
		return none, fmt.Errorf("failed to read saved state: %w", err)
	}

	var doc document[T]

	if err := json.Unmarshal(data, &doc); err != nil {
		return none, fmt.Errorf("failed to parse saved state in %s: %w", f.Path, err)
	}

	switch {
	case doc.Version != version:
		return none, fmt.Errorf("failed to load saved state from %s: its version is %d, must be %d", f.Path, doc.Version, version)
	case doc.BootID != f.BootID, doc.Entries == nil:
		return none, nil
	}

	return doc.Entries, nil
}

// Save replaces the saved entries. It removes the file if all entries are zero.
func (f File[T]) Save(entries map[string]T) error {
	if f.Path == "" {
		return nil
	}

	doc := document[T]{Version: version, BootID: f.BootID, Entries: map[string]T{}}

	for name, entry := range entries {
		if !entry.IsZero() {
			doc.Entries[name] = entry
		}
	}

	if len(doc.Entries) == 0 {
		return f.Remove()
	}

	data, err := json.Marshal(doc)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(f.Path), 0o700)
	}

	if err == nil {
		err = renameio.WriteFile(f.Path, data, 0o600)
	}

	if err != nil {
		return fmt.Errorf("failed to save state: %w", err)
	}

	fault.Point(fault.Saved)

	return nil
}

// Remove deletes the file. It is no error if there is none.
func (f File[T]) Remove() error {
	if f.Path == "" {
		return nil
	}

	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("failed to remove saved state: %w", err)
	}

	return nil
}
