// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"cmp"
	"context"
	"fmt"
	"time"

	talosx509 "github.com/siderolabs/crypto/x509"

	"github.com/spegel-guard/spegel-guard/internal/regular"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// filesInterval is how soon new files are noticed. Their content is compared, so it does not matter how
// they are replaced: written over, renamed, or behind another symbolic link.
const filesInterval = 5 * time.Second

// maxPEM is the size of the largest PEM file in bytes: some bundles of CAs have 250 kB.
const maxPEM = 1 << 20

// Files are PEM files on the node.
type Files struct {
	Paths config.TLS
	// Field of the configuration that names them, for errors.
	Field string
	// Interval between two looks; 0 is the usual one.
	Interval time.Duration
}

// Run puts the files' identity in force whenever it changes, until the context ends. Files that are
// missing, or do not fit together, leave the last good identity in force. report is told of each new
// identity, with nil, and of each new error.
func (f Files) Run(ctx context.Context, store *Store, report func(error)) error {
	keeper := keeper{store: store, report: report}

	for {
		if material, err := f.read(); err != nil {
			keeper.fail(err)
		} else {
			keeper.take(material)
		}

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(cmp.Or(f.Interval, filesInterval)):
		}
	}
}

func (f Files) read() (Material, error) {
	var all [3][]byte

	for i, file := range []struct{ field, path string }{{"ca", f.Paths.CA}, {"cert", f.Paths.Cert}, {"key", f.Paths.Key}} {
		data, err := regular.ReadFile(file.path, maxPEM)
		if err != nil {
			return Material{}, fmt.Errorf("error loading %s.%s: %w", f.Field, file.field, err)
		}

		all[i] = data
	}

	return Material{CAs: [][]byte{all[0]}, Server: talosx509.PEMEncodedCertificateAndKey{Crt: all[1], Key: all[2]}}, nil
}
