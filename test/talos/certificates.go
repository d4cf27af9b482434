// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/siderolabs/crypto/x509"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

// Client describes a client certificate.
type Client struct {
	// Role in the certificate.
	Role role.Role
	// Valid is the time until the certificate expires; it is negative for one that has expired.
	Valid time.Duration
	// OtherCA selects the CA of another cluster as the signer.
	OtherCA bool
}

// TalosconfigOf writes a talosconfig for a client and returns its path.
func (n *Node) TalosconfigOf(name string, c Client) (string, error) {
	signer := n.cluster.secrets.Certs.OS

	if c.OtherCA {
		other, err := newCluster()
		if err != nil {
			return "", err
		}

		signer = other.secrets.Certs.OS
	}

	// The clock of the node may be behind that of this machine.
	const before = time.Hour

	begin := time.Now().Add(min(0, c.Valid) - before)

	pair, err := secrets.NewAdminCertificateAndKey(begin, signer, role.MakeSet(c.Role), time.Since(begin)+c.Valid)
	if err != nil {
		return "", fmt.Errorf("failed to create a certificate: %w", err)
	}

	// The client trusts the CA of the node in any case.
	config := clientconfig.NewConfig("test", []string{n.Apid}, n.cluster.secrets.Certs.OS.Crt, &x509.PEMEncodedCertificateAndKey{Crt: pair.Crt, Key: pair.Key})
	config.Contexts["test"].Nodes = []string{Address}

	path := filepath.Join(n.dir, "talosconfig-"+name)

	return path, config.Save(path)
}

// As returns the node for a client with another talosconfig.
func (n *Node) As(talosconfig string) *Node {
	other := *n
	other.Talosconfig = talosconfig

	return &other
}
