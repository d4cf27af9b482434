// SPDX-License-Identifier: MPL-2.0

package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spegel-guard/spegel-guard/extension/sbom"
	"github.com/spegel-guard/spegel-guard/internal/gobuild"
)

// Program is the command line that people install.
const Program = "spegelguardctl"

// Platform is an operating system and an architecture, as Go names them.
type Platform struct{ OS, Arch string }

// Platforms of a release.
var Platforms = []Platform{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

// Artifact is an archive of the command line for a platform.
type Artifact struct {
	Platform

	// Name of the archive, Binary the program in it.
	Name, Binary string
	Data         []byte
	// Bill is its bill of materials (SPDX).
	Bill []byte
}

// fileName returns the name of a file of the release for the platform.
func (p Platform) fileName(version, suffix string) string {
	return fmt.Sprintf("%s_%s_%s_%s%s", Program, version, p.OS, p.Arch, suffix)
}

// Sum returns the SHA-256 of the archive in hexadecimal digits.
func (a Artifact) Sum() string { return fmt.Sprintf("%x", sha256.Sum256(a.Data)) }

// Build builds the command line of a source tree for a platform, and packs it with the documents.
func Build(ctx context.Context, tree, version string, platform Platform, documents map[string]File) (Artifact, error) {
	artifact := Artifact{Platform: platform, Binary: Program, Name: platform.fileName(version, ".tar.gz")}

	if platform.OS == "windows" {
		artifact.Binary += ".exe"
		artifact.Name = platform.fileName(version, ".zip")
	}

	binary, err := gobuild.Build(ctx, tree, program(version, platform, ""))
	if err != nil {
		return Artifact{}, err
	}

	modules, err := sbom.Modules(ctx, tree, bytes.NewReader(binary))
	if err != nil {
		return Artifact{}, err
	}

	if artifact.Bill, err = sbom.SPDX(Program, version, platform.OS+"-"+platform.Arch, modules); err != nil {
		return Artifact{}, err
	}

	files := map[string]File{artifact.Binary: {Data: binary, Mode: 0o755}}
	maps.Copy(files, documents)

	artifact.Data, err = pack(files, platform.OS)

	return artifact, err
}

func program(version string, platform Platform, tags string) gobuild.Program {
	return gobuild.Program{
		Package: "cmd/" + Program, OS: platform.OS, Arch: platform.Arch, Tags: tags, Stamps: map[string]string{"main.version": version},
	}
}

// Documents returns the files beside the program: the licence, the manual pages with a date, and the completions of shells. The
// program itself writes them.
func Documents(ctx context.Context, tree, version string, date time.Time) (map[string]File, error) {
	licence, err := os.ReadFile(filepath.Join(tree, "LICENSE"))
	if err != nil {
		return nil, fmt.Errorf("failed to read the licence: %w", err)
	}

	documents := map[string]File{"LICENSE": {Data: licence, Mode: 0o644}}

	dir, err := os.MkdirTemp("", "spegel-guard-release-")
	if err != nil {
		return nil, fmt.Errorf("failed to create a folder: %w", err)
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	binary, err := gobuild.Build(ctx, tree, program(version, Platform{runtime.GOOS, runtime.GOARCH}, "man"))
	if err != nil {
		return nil, err
	}

	command := filepath.Join(dir, Program)
	if err := os.WriteFile(command, binary, 0o700); err != nil {
		return nil, fmt.Errorf("failed to write the program: %w", err)
	}

	for shell, name := range map[string]string{
		"bash": Program, "zsh": "_" + Program, "fish": Program + ".fish", "powershell": Program + ".ps1",
	} {
		text, err := exec.CommandContext(ctx, command, "completion", shell).Output()
		if err != nil {
			return nil, fmt.Errorf("failed to write the completion of %s: %w", shell, err)
		}

		documents["completions/"+shell+"/"+name] = File{Data: text, Mode: 0o644}
	}

	if err := os.Mkdir(filepath.Join(dir, "man1"), 0o755); err != nil {
		return nil, fmt.Errorf("failed to create a folder: %w", err)
	}

	if date.IsZero() {
		date = time.Unix(0, 0).UTC()
	}

	if text, err := exec.CommandContext(ctx, command, "man", "--date", date.Format(time.DateOnly), filepath.Join(dir, "man1")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("failed to write the manual: %w: %s", err, text)
	}

	pages := os.DirFS(filepath.Join(dir, "man1"))

	return documents, fs.WalkDir(pages, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}

		data, err := fs.ReadFile(pages, name)
		documents["man/man1/"+name] = File{Data: data, Mode: 0o644}

		return err
	})
}
