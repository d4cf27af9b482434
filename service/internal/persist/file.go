// SPDX-License-Identifier: MPL-2.0

// Package persist keeps saved state over restarts of the service: files of JSON lines on a file system that ends with the boot
// (/run), one with the holds, back-offs and usual levels of the rules (Workload), one with the overrides of people.
//
// A journal on a cgroup says how to restore the owner's limit and is deleted with the container. Saved state belongs to
// the workload: a hold continues after a restart that released the ceiling, and a crash does not reset a back-off.
package persist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
	"github.com/spegel-guard/spegel-guard/internal/fault"
	"github.com/spegel-guard/spegel-guard/internal/regular"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// version of the file format. A newer one keeps the form of a line: its checksum, and the number of the version in its entry.
const version = 2

// NewerSuffix is the ending of the name under which the file of a newer version is kept.
const NewerSuffix = ".newer"

// ErrNewer says that a newer version of the guard has saved the state.
var ErrNewer = errors.New("a newer spegel-guard saved it")

// maxSize of a file in bytes. A workload takes about 300, and up to 4000 more for each signal with a baseline.
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
func (w Workload) IsZero() bool { return w.Yielded == 0 && w.SavedState.IsZero() }

// Equal reports whether both states are the same. Without it the embedded method would ignore Yielded.
func (w Workload) Equal(other Workload) bool {
	return w.Yielded == other.Yielded && w.SavedState.Equal(other.SavedState)
}

// Check returns policy.ErrOutOfBounds for a state that no process of this boot has saved.
func (w Workload) Check(b policy.Bounds) error {
	if err := b.Past("yielded", w.Yielded); err != nil {
		return err
	}

	return w.SavedState.Check(b)
}

// File saves entries by name. Without a path it saves nothing. Each entry is a line with a checksum of its own, so that a
// damaged one costs itself only.
type File[T Entry] struct {
	Path string
	// BootID identifies this boot. The state of another boot is not loaded: its clocks started elsewhere.
	BootID string
	// Check returns why an entry cannot be loaded; nil accepts all.
	Check func(T) error
}

// line is an entry with the checksum of its JSON text, CRC-32C in hexadecimal digits.
type line struct {
	Checksum string          `json:"crc32c"`
	Entry    json.RawMessage `json:"entry"`
}

type entry[T Entry] struct {
	Version int    `json:"version"`
	BootID  string `json:"bootID"`
	Name    string `json:"name"`
	Value   T      `json:"value"`
}

// Load returns the saved entries by name, none if there is no file. Entries of another boot are left out. The map is never
// nil. The error names the entries that cannot be loaded; the others are returned beside it. A file of a newer version is
// renamed (NewerSuffix), so that Save does not replace it: the error is ErrNewer.
func (f File[T]) Load() (map[string]T, error) {
	if f.Path == "" {
		return map[string]T{}, nil
	}

	data, err := regular.ReadFile(f.Path, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]T{}, nil
	}

	if err != nil {
		return map[string]T{}, fmt.Errorf("failed to read saved state: %w", err)
	}

	entries, err := f.decode(data)
	if errors.Is(err, ErrNewer) {
		err = errors.Join(err, f.keep())
	}

	return entries, err
}

// keep renames the file of a newer version. The error says where it is.
func (f File[T]) keep() error {
	kept := f.Path + NewerSuffix

	if err := os.Rename(f.Path, kept); err != nil {
		return fmt.Errorf("failed to keep the saved state of a newer version: %w", err)
	}

	return fmt.Errorf("the saved state of the newer version is kept in %s until the next boot", kept)
}

// decode returns the entries of a file's content.
func (f File[T]) decode(data []byte) (map[string]T, error) {
	var (
		errs bounded.Errors
		// newer is kept whatever else is wrong with the file: the caller decides by it.
		newer error
	)

	entries, number := map[string]T{}, 0

	for text := range bytes.Lines(data) {
		number++

		e, err := decodeLine[T](text)

		switch {
		case errors.Is(err, ErrNewer) && newer == nil:
			newer = fmt.Errorf("failed to load line %d of %s: %w", number, f.Path, err)

			continue
		case err != nil:
			err = fmt.Errorf("failed to load line %d of %s: %w", number, f.Path, err)
		case e.BootID != f.BootID, e.Value.IsZero():
			continue
		case f.Check != nil:
			if err = f.Check(e.Value); err != nil {
				err = fmt.Errorf("failed to load %q from %s: %w", e.Name, f.Path, err)
			}
		}

		if err == nil {
			entries[e.Name] = e.Value

			continue
		}

		errs.Add(err)
	}

	return entries, errors.Join(newer, errs.Err("failed to load %d more entries"))
}

func decodeLine[T Entry](text []byte) (entry[T], error) {
	var (
		l line
		e entry[T]
	)

	if err := json.Unmarshal(text, &l); err != nil {
		return e, fmt.Errorf("failed to parse it: %w", err)
	}

	if sum := checksum(l.Entry); sum != l.Checksum {
		return e, fmt.Errorf("its checksum is %s, must be %q", sum, l.Checksum)
	}

	// The version first: the values of another one may have other types.
	var format struct {
		Version int `json:"version"`
	}

	err := json.Unmarshal(l.Entry, &format)

	switch {
	case err != nil:
		return e, fmt.Errorf("failed to parse its entry: %w", err)
	case format.Version > version:
		return e, fmt.Errorf("its version is %d, must be %d: %w", format.Version, version, ErrNewer)
	case format.Version != version:
		return e, fmt.Errorf("its version is %d, must be %d", format.Version, version)
	}

	if err := json.Unmarshal(l.Entry, &e); err != nil {
		return e, fmt.Errorf("failed to parse its entry: %w", err)
	}

	return e, nil
}

func checksum(data []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}

// encode returns the content of a file, empty if all entries are zero.
func (f File[T]) encode(entries map[string]T) ([]byte, error) {
	var data []byte

	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if entries[name].IsZero() {
			continue
		}

		text, err := json.Marshal(entry[T]{Version: version, BootID: f.BootID, Name: name, Value: entries[name]})
		if err != nil {
			return nil, err
		}

		text, err = json.Marshal(line{Checksum: checksum(text), Entry: text})
		if err != nil {
			return nil, err
		}

		data = append(append(data, text...), '\n')
	}

	return data, nil
}

// Save replaces the saved entries. It removes the file if all entries are zero.
func (f File[T]) Save(entries map[string]T) error {
	if f.Path == "" {
		return nil
	}

	data, err := f.encode(entries)
	if err == nil && len(data) == 0 {
		return f.Remove()
	}

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

// SaveOrRemove is like Save, and removes the file if that fails: after a restart it would put in force again what has ended. stale reports
// that it could not be removed either.
func (f File[T]) SaveOrRemove(entries map[string]T) (stale bool, err error) {
	err = f.Save(entries)
	if err == nil {
		return false, nil
	}

	removeErr := f.Remove()

	return removeErr != nil, errors.Join(err, removeErr)
}

// Remove deletes the file. It is no error if there is none.
func (f File[T]) Remove() error {
	if f.Path == "" {
		return nil
	}

	// ENOTDIR: the parent is no directory, so the file does not exist.
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("failed to remove saved state: %w", err)
	}

	return nil
}
