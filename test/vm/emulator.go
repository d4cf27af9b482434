// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spegel-guard/spegel-guard/test/debian"
)

// QEMU is the unpacked emulator of Debian 13.
type QEMU struct {
	root string
}

// FetchQEMU returns the emulator of x86-64 machines with its libraries and firmware. It downloads the packages if the cache has
// none. The host needs neither QEMU nor Debian 13.
func FetchQEMU(ctx context.Context, cache string) (QEMU, error) {
	root, err := debian.Unpack(ctx, cache, debian.Trixie, "qemu-system-x86")
	if err != nil {
		return QEMU{}, err
	}

	q := QEMU{root: root}

	for _, file := range []string{q.loader(), q.program()} {
		if _, err := os.Stat(file); err != nil {
			return QEMU{}, fmt.Errorf("failed to find a file of Debian's QEMU: %w", err)
		}
	}

	return q, nil
}

// Command returns the program and its first arguments, to which those of a machine are appended. The process executes QEMU, so
// that QEMU receives its signals.
func (q QEMU) Command() []string {
	return []string{
		// Otherwise QEMU tries to load modules of the host's version.
		"/usr/bin/env", "QEMU_MODULE_DIR=" + filepath.Join(q.libraries(), "qemu"),
		q.loader(), "--library-path", q.libraries(), q.program(),
		"-L", filepath.Join(q.root, "usr/share/qemu"), "-L", filepath.Join(q.root, "usr/share/seabios"),
	}
}

func (q QEMU) program() string   { return filepath.Join(q.root, "usr/bin/qemu-system-x86_64") }
func (q QEMU) libraries() string { return filepath.Join(q.root, "usr/lib/x86_64-linux-gnu") }
func (q QEMU) loader() string    { return filepath.Join(q.libraries(), "ld-linux-x86-64.so.2") }
