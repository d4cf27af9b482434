package vm

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
)

// hostLibrary is a path in ldd's output.
var hostLibrary = regexp.MustCompile(`(/[^\s:]+\.so[^\s:]*)`)

// HostTools finds this machine's own tools, with the libraries they need, for use in the guest at the
// same paths: they are what a test compares with. The paths here are returned under those in the guest.
func HostTools(ctx context.Context, names ...string) (map[string]string, error) {
	files := map[string]string{}

	for _, name := range names {
		binary, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("error looking for %s (make deps installs it): %w", name, err)
		}

		libraries, err := exec.CommandContext(ctx, "ldd", binary).Output()
		if err != nil {
			return nil, fmt.Errorf("error listing the libraries of %s: %w", binary, err)
		}

		files["/usr/bin/"+name] = binary

		for _, match := range hostLibrary.FindAllString(string(libraries), -1) {
			files[match] = match
		}
	}

	return files, nil
}
