// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"context"
	"fmt"
	"time"

	talosx509 "github.com/siderolabs/crypto/x509"

	"github.com/spegel-guard/spegel-guard/internal/filewatch"
	"github.com/spegel-guard/spegel-guard/internal/regular"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// filesInterval is how often the files are read while they cannot be watched. Their content is compared, so it does not matter how
// they are replaced: written in place, renamed, or by a symbolic link.
const filesInterval = 5 * time.Second

// maxPEM is the maximum size of a PEM file in bytes. Some bundles of CAs have 250 kB.
const maxPEM = 1 << 20

// Files follows PEM files on the node.
type Files struct {
	Paths config.TLS
	// Field is the section of the configuration with the paths, for errors.
	Field string
}

// Run stores the identity of the files whenever it changes, until the context ends. The last valid identity stays in
// force if files are missing or do not match. report is called with nil for each new identity, and with each new error.
func (f Files) Run(ctx context.Context, store *Store, report func(error)) error {
	keeper := keeper{store: store, report: report}

	filewatch.Follow(ctx, filesInterval, []string{f.Paths.CA, f.Paths.Cert, f.Paths.Key}, func() {
		if material, err := f.read(); err != nil {
			keeper.fail(err)
		} else {
			keeper.take(material)
		}
	})

	return nil
}

func (f Files) read() (Material, error) {
	var all [3][]byte

	for i, file := range []struct{ field, path string }{{"ca", f.Paths.CA}, {"cert", f.Paths.Cert}, {"key", f.Paths.Key}} {
		data, err := regular.ReadFile(file.path, maxPEM)
		if err != nil {
			return Material{}, fmt.Errorf("failed to load %s.%s: %w", f.Field, file.field, err)
		}

		all[i] = data
	}

	return Material{CAs: [][]byte{all[0]}, Server: talosx509.PEMEncodedCertificateAndKey{Crt: all[1], Key: all[2]}}, nil
}
