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

// Client is somebody with a certificate.
type Client struct {
	// Role in the certificate.
	Role role.Role
	// Valid is how long the certificate is valid from now on; negative: it expired so long ago.
	Valid time.Duration
	// Foreign certificates are signed by another cluster's authority.
	Foreign bool
}

// TalosconfigOf writes a talosconfig for a client and returns its path.
func (n *Node) TalosconfigOf(name string, c Client) (string, error) {
	signer := n.cluster.secrets.Certs.OS

	if c.Foreign {
		other, err := newCluster()
		if err != nil {
			return "", err
		}

		signer = other.secrets.Certs.OS
	}

	// The node's clock may be behind this machine's.
	const before = time.Hour

	begin := time.Now().Add(min(0, c.Valid) - before)

	pair, err := secrets.NewAdminCertificateAndKey(begin, signer, role.MakeSet(c.Role), time.Since(begin)+c.Valid)
	if err != nil {
		return "", fmt.Errorf("failed to create a certificate: %w", err)
	}

	// The node's authority stays the one that the client trusts.
	config := clientconfig.NewConfig("test", []string{n.Apid}, n.cluster.secrets.Certs.OS.Crt, &x509.PEMEncodedCertificateAndKey{Crt: pair.Crt, Key: pair.Key})
	config.Contexts["test"].Nodes = []string{Address}

	path := filepath.Join(n.dir, "talosconfig-"+name)

	return path, config.Save(path)
}

// As returns the same node for somebody with another talosconfig.
func (n *Node) As(talosconfig string) *Node {
	other := *n
	other.Talosconfig = talosconfig

	return &other
}
