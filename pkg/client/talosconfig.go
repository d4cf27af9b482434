// SPDX-License-Identifier: MPL-2.0

package client

import (
	"errors"
	"fmt"
	"os"
	"strings"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
)

// ErrNoTalosconfig says that there is no talosconfig.
var ErrNoTalosconfig = errors.New("no talosconfig")

// ReadTalosconfig reads a talosconfig; an empty path is the default one of talosctl. The error wraps ErrNoTalosconfig if there is
// none: Talos' own function would create an empty one.
func ReadTalosconfig(path string) (config *clientconfig.Config, err error) {
	defer func() {
		// Talos' function panics for a context without content.
		if recover() != nil {
			config, err = nil, errors.New("invalid talosconfig: one of its contexts is null: remove it, or add its endpoints and certificates")
		}
	}()

	if err := exists(path); err != nil {
		return nil, err
	}

	config, err = clientconfig.Open(path)
	if err != nil {
		return nil, fmt.Errorf("failed to read the talosconfig: %w", err)
	}

	return config, nil
}

// exists returns an error that names the places where a talosconfig may be, if there is none.
func exists(path string) error {
	places := []string{path}

	if path == "" {
		defaults, err := clientconfig.GetDefaultPaths()
		if err != nil {
			return fmt.Errorf("failed to find the talosconfig: %w", err)
		}

		places = nil
		for _, place := range defaults {
			places = append(places, place.Path)
		}
	}

	for _, place := range places {
		if _, err := os.Stat(place); !os.IsNotExist(err) {
			return nil
		}
	}

	return fmt.Errorf("%w at %s: use --talosconfig or $TALOSCONFIG", ErrNoTalosconfig, strings.Join(places, ", "))
}
