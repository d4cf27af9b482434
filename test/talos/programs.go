// SPDX-License-Identifier: MPL-2.0

// Package talos boots a real Talos node: init, machined, apid and imager of Talos, built from its module, on Debian's kernel
// of the same series. The imager adds the extension's image.
//
// Talos pulls the images of etcd and kubelet. An agent, which is a second system extension (test/talos/agent), serves them on the
// node: etcd is the real one, and kubelet is a program that answers that it is healthy (test/talos/kubelet). The agent creates the
// pods, too.
package talos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ProgramsEnv names the environment variable with the folder of Talos' programs, which the Makefile builds.
const ProgramsEnv = "SPEGEL_GUARD_TALOS"

// Version of Talos; test/talos/programs/go.mod has the same one.
const Version = "v1.13.0"

// ErrNoPrograms is returned if ProgramsEnv is not set.
var ErrNoPrograms = errors.New("the folder of Talos' programs is not set (" + ProgramsEnv + "): run make test-talos")

// Programs of Talos.
type Programs struct {
	// Machined is the init of the mounted root. apid and trustd are the same file.
	Machined string
	// Init is the init of the initramfs.
	Init string
	// Installer is also the imager, if it is executed with that name.
	Installer string
	// Talosctl is the unmodified command line.
	Talosctl string
	// Etcd is the server, which Talos runs as a container.
	Etcd string
}

// FindPrograms returns the programs in the folder that the environment names.
func FindPrograms() (Programs, error) {
	dir := os.Getenv(ProgramsEnv)
	if dir == "" {
		return Programs{}, ErrNoPrograms
	}

	p := Programs{
		Machined:  filepath.Join(dir, "machined"),
		Init:      filepath.Join(dir, "init"),
		Installer: filepath.Join(dir, "installer"),
		Talosctl:  filepath.Join(dir, "talosctl"),
		Etcd:      filepath.Join(dir, "etcd"),
	}

	for _, path := range []string{p.Machined, p.Init, p.Installer, p.Talosctl, p.Etcd} {
		if _, err := os.Stat(path); err != nil {
			return Programs{}, fmt.Errorf("failed to find a program of Talos: %w", err)
		}
	}

	return p, nil
}
