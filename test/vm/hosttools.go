// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
)

// hostLibrary is a path in ldd's output.
var hostLibrary = regexp.MustCompile(`(/[^\s:]+\.so[^\s:]*)`)

// HostTools finds tools of this machine and their libraries, with which tests compare the guard. It returns the paths on this
// machine by the paths in the guest.
func HostTools(ctx context.Context, names ...string) (map[string]string, error) {
	files := map[string]string{}

	for _, name := range names {
		binary, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("failed to find %s (make deps installs it): %w", name, err)
		}

		needed, err := HostTool(ctx, name, binary)
		if err != nil {
			return nil, err
		}

		maps.Copy(files, needed)
	}

	return files, nil
}

// HostTool returns the files of a program for the guest's /usr/bin, including its libraries.
func HostTool(ctx context.Context, name, binary string) (map[string]string, error) {
	files := map[string]string{"/usr/bin/" + name: binary}

	// ldd fails for a static program.
	libraries, err := exec.CommandContext(ctx, "ldd", binary).CombinedOutput()
	if err != nil && !bytes.Contains(libraries, []byte("not a dynamic executable")) {
		return nil, fmt.Errorf("failed to list the libraries of %s: %w", binary, err)
	}

	for _, match := range hostLibrary.FindAllString(string(libraries), -1) {
		if match != binary {
			files[match] = match
		}
	}

	return files, nil
}
