// SPDX-License-Identifier: MPL-2.0

package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// File is a file of an archive.
type File struct {
	Data []byte
	Mode fs.FileMode
}

// dos is the first time that a zip archive can have.
var dos = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// packer is what the formats have in common: add begins a file.
type packer interface {
	add(name string, file File) (io.Writer, error)
	io.Closer
}

// pack returns an archive of files by name, as a zip for Windows and otherwise as a compressed tar. It has no times and no users,
// so that the same files give the same archive.
func pack(files map[string]File, os string) ([]byte, error) {
	var (
		archive bytes.Buffer
		to      packer
	)

	if os == "windows" {
		to = zipPacker{zip.NewWriter(&archive)}
	} else {
		compressed, err := gzip.NewWriterLevel(&archive, gzip.BestCompression)
		if err != nil {
			return nil, err
		}

		to = tarPacker{tar.NewWriter(compressed), compressed}
	}

	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := to.add(name, files[name])
		if err == nil {
			_, err = w.Write(files[name].Data)
		}

		if err != nil {
			return nil, fmt.Errorf("failed to pack %s: %w", name, err)
		}
	}

	if err := to.Close(); err != nil {
		return nil, fmt.Errorf("failed to pack: %w", err)
	}

	return archive.Bytes(), nil
}

type tarPacker struct {
	*tar.Writer

	compressed io.Closer
}

func (t tarPacker) add(name string, file File) (io.Writer, error) {
	return t.Writer, t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(file.Data)), Mode: int64(file.Mode), Format: tar.FormatUSTAR,
	})
}

// Close implements packer.
func (t tarPacker) Close() error {
	if err := t.Writer.Close(); err != nil {
		return err
	}

	return t.compressed.Close()
}

type zipPacker struct{ *zip.Writer }

func (z zipPacker) add(name string, file File) (io.Writer, error) {
	header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: dos}
	header.SetMode(file.Mode)

	return z.CreateHeader(header)
}
