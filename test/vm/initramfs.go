// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"fmt"
	"io"
	"os"
	"path"
	"sort"

	"github.com/cavaliergopher/cpio"
)

// Initramfs has the files of a cpio archive in the newc format
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
type Initramfs struct {
	files map[string]initramfsFile
}

type initramfsFile struct {
	mode   cpio.FileMode
	source string // a file on this machine, or
	data   []byte // the content itself
}

// NewInitramfs returns an archive without files.
func NewInitramfs() *Initramfs {
	return &Initramfs{files: map[string]initramfsFile{}}
}

// AddFile adds a file of this machine, and the folders above it.
func (a *Initramfs) AddFile(name, source string, mode cpio.FileMode) {
	a.add(name, initramfsFile{mode: cpio.TypeReg | mode, source: source})
}

// AddData adds a file with content and mode 0644.
func (a *Initramfs) AddData(name string, data []byte) {
	a.add(name, initramfsFile{mode: cpio.TypeReg | 0o644, data: data})
}

// AddExecutable adds a program with mode 0755.
func (a *Initramfs) AddExecutable(name string, data []byte) {
	a.add(name, initramfsFile{mode: cpio.TypeReg | 0o755, data: data})
}

// AddDir adds a folder with mode 0755.
func (a *Initramfs) AddDir(name string) {
	a.add(name, initramfsFile{mode: cpio.TypeDir | 0o755})
}

func (a *Initramfs) add(name string, file initramfsFile) {
	name = path.Clean("/" + name)[1:]

	// The kernel does not create missing parents.
	if parent := path.Dir(name); parent != "." {
		if _, ok := a.files[parent]; !ok {
			a.AddDir(parent)
		}
	}

	a.files[name] = file
}

// Write writes the archive with parents before their children.
func (a *Initramfs) Write(out io.Writer) error {
	names := make([]string, 0, len(a.files))

	for name := range a.files {
		names = append(names, name)
	}

	sort.Strings(names)

	archive := cpio.NewWriter(out)

	for _, name := range names {
		if err := writeEntry(archive, name, a.files[name]); err != nil {
			return fmt.Errorf("failed to add %s to the initramfs: %w", name, err)
		}
	}

	return archive.Close()
}

func writeEntry(archive *cpio.Writer, name string, file initramfsFile) error {
	data := file.data

	if file.source != "" {
		var err error

		if data, err = os.ReadFile(file.source); err != nil {
			return err
		}
	}

	header := &cpio.Header{Name: name, Mode: file.mode, Size: int64(len(data)), Links: 1}

	if err := archive.WriteHeader(header); err != nil {
		return err
	}

	_, err := archive.Write(data)

	return err
}
