// Package memory keeps what was decided over the guard's restarts, in small files on a file system
// that ends with the boot (/run): one of the rules' decisions, one of what people ordered.
//
// The journal on a cgroup tells how to take a ceiling back and dies with the container. The memory
// belongs to the workload: a hold goes on after a stop that released the ceiling, and a back-off is
// not forgotten by a crash.
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

// version of the file's form.
const version = 1

// maxSize of the file in bytes: a workload takes about 300.
const maxSize = 16 << 20

// Entry is one thing to remember.
type Entry interface {
	// IsZero tells that there is nothing to remember.
	IsZero() bool
}

// Workload is what is remembered of one.
type Workload struct {
	policy.SavedState
	// Yielded is the Since of the hold that was given up for somebody else's cpu.max (conflict: yield).
	Yielded time.Duration `json:"yielded,omitempty"`
}

// File is where entries are kept by name. Without a path nothing is.
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

// Load returns what is remembered, by name. No file, or one of another boot, is an empty memory.
func (f File[T]) Load() (map[string]T, error) {
	if f.Path == "" {
		return map[string]T{}, nil
	}

	data, err := regular.ReadFile(f.Path, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]T{}, nil
	}

	if err != nil {
		return map[string]T{}, fmt.Errorf("error reading the memory of earlier decisions: %w", err)
	}

	var doc document[T]

	if err := json.Unmarshal(data, &doc); err != nil {
		return map[string]T{}, fmt.Errorf("error reading the memory of earlier decisions in %s: %w", f.Path, err)
	}

	switch {
	case doc.Version != version:
		return map[string]T{}, fmt.Errorf("memory of earlier decisions in %s has version %d, this guard knows %d", f.Path, doc.Version, version)
	case doc.BootID != f.BootID, doc.Entries == nil:
		return map[string]T{}, nil
	}

	return doc.Entries, nil
}

// Save replaces what is remembered. Nothing to remember leaves no file.
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
		return fmt.Errorf("error writing the memory of decisions: %w", err)
	}

	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("error writing the memory of decisions: %w", err)
	}

	if err := renameio.WriteFile(f.Path, data, 0o600); err != nil {
		return fmt.Errorf("error writing the memory of decisions: %w", err)
	}

	fault.Point(fault.Remembered)

	return nil
}

// Remove forgets everything.
func (f File[T]) Remove() error {
	if f.Path == "" {
		return nil
	}

	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("error removing the memory of decisions: %w", err)
	}

	return nil
}
