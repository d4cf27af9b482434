package vm

import (
	"fmt"
	"io"
	"os"
	"path"
	"sort"

	"github.com/cavaliergopher/cpio"
)

// initramfs collects the files of one cpio archive in the newc format the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type initramfs struct {
	files map[string]initramfsFile
}

type initramfsFile struct {
	mode   cpio.FileMode
	source string // a file on this machine, or
	data   []byte // the content itself
}

func newInitramfs() *initramfs {
	return &initramfs{files: map[string]initramfsFile{}}
}

func (a *initramfs) addFile(name, source string, mode cpio.FileMode) {
	a.add(name, initramfsFile{mode: cpio.TypeReg | mode, source: source})
}

func (a *initramfs) addData(name string, data []byte) {
	a.add(name, initramfsFile{mode: cpio.TypeReg | 0o644, data: data})
}

func (a *initramfs) addDir(name string) {
	a.add(name, initramfsFile{mode: cpio.TypeDir | 0o755})
}

func (a *initramfs) add(name string, file initramfsFile) {
	name = path.Clean("/" + name)[1:]

	// The kernel does not make missing parents.
	if parent := path.Dir(name); parent != "." {
		if _, ok := a.files[parent]; !ok {
			a.addDir(parent)
		}
	}

	a.files[name] = file
}

// write emits the archive, parents before children.
func (a *initramfs) write(out io.Writer) error {
	names := make([]string, 0, len(a.files))

	for name := range a.files {
		names = append(names, name)
	}

	sort.Strings(names)

	archive := cpio.NewWriter(out)

	for _, name := range names {
		if err := writeEntry(archive, name, a.files[name]); err != nil {
			return fmt.Errorf("error adding %s to the initramfs: %w", name, err)
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
