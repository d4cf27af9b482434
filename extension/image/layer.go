// SPDX-License-Identifier: MPL-2.0

package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/spegel-guard/spegel-guard/extension"
)

// layerOf packs files sorted by name, and the folders above them, without times, users and groups.
func layerOf(files extension.Files) (v1.Layer, error) {
	var archive bytes.Buffer

	w := tar.NewWriter(&archive)
	written := map[string]bool{}

	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}

	slices.Sort(names)

	for _, name := range names {
		if err := folders(w, written, name); err != nil {
			return nil, err
		}

		file := files[name]
		header := header(tar.TypeReg, strings.TrimPrefix(name, "/"), int64(file.Mode))
		header.Size = int64(len(file.Data))

		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("failed to pack %s: %w", name, err)
		}

		if _, err := w.Write(file.Data); err != nil {
			return nil, fmt.Errorf("failed to pack %s: %w", name, err)
		}
	}

	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("failed to pack: %w", err)
	}

	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil },
		tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithMediaType(types.OCILayer),
		// Without the cache it is compressed for the digest, the size and each write.
		tarball.WithCompressedCaching,
	)
}

func folders(w *tar.Writer, written map[string]bool, name string) error {
	dir := path.Dir(name)
	if dir == "/" || written[dir] {
		return nil
	}

	if err := folders(w, written, dir); err != nil {
		return err
	}

	written[dir] = true

	if err := w.WriteHeader(header(tar.TypeDir, strings.TrimPrefix(dir, "/")+"/", 0o755)); err != nil {
		return fmt.Errorf("failed to pack %s: %w", dir, err)
	}

	return nil
}

func header(kind byte, name string, mode int64) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: name, Mode: mode, ModTime: time.Unix(0, 0).UTC(), Format: tar.FormatUSTAR}
}

// maxFile is the largest file in bytes that is unpacked.
const maxFile = 256 << 20

// Unpack writes the files of an image below a folder, which must be empty, as Talos' imager does.
func Unpack(image v1.Image, dir string) error {
	stream := mutate.Extract(image)
	defer stream.Close() //nolint:errcheck // read only

	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("failed to open the folder to unpack to: %w", err)
	}

	defer root.Close() //nolint:errcheck // nothing is left to be written

	for r := tar.NewReader(stream); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}

		if err != nil {
			return fmt.Errorf("failed to unpack: %w", err)
		}

		name := filepath.Clean(header.Name)

		switch header.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, fs.FileMode(header.Mode).Perm())
		case tar.TypeReg:
			err = unpackFile(root, name, fs.FileMode(header.Mode).Perm(), r)
		default:
			err = fmt.Errorf("it is neither a file nor a folder (type %c)", header.Typeflag)
		}

		if err != nil {
			return fmt.Errorf("failed to unpack %s: %w", header.Name, err)
		}
	}
}

func unpackFile(root *os.Root, name string, mode fs.FileMode, r io.Reader) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}

	_, err = io.Copy(file, io.LimitReader(r, maxFile))

	return errors.Join(err, file.Close())
}
