// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/talos"
)

// documentBeforeService: Talos stores a document for a service that does not exist.
func (s *scenario) documentBeforeService(t *testing.T) {
	eventually(t, s.node, "waiting for apid", func(ctx context.Context) error {
		_, err := s.node.Talosctl(ctx, "version")

		return err
	})

	assert.NotContains(t, talosctl(t, s.node, "get", "extensions"), "spegel-guard")

	s.patch(t, document(quick))
	s.waitDocument(t)
}

// upgrade: the first boot with the extension has the document in force, and nobody restarts the service.
func (s *scenario) upgrade(t *testing.T) {
	s.booted = len(s.node.Console())

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	require.NoError(t, s.node.Upgrade(ctx, talos.Options{Tree: "../.."}))
	waitReady(t, s.node)
	s.waitConfig(t, config.Path, "enforce", "500ms")

	booted := s.node.Console()[s.booted:]
	assert.Equal(t, 1, strings.Count(booted, "service[ext-spegel-guard](Starting)"), "Talos has restarted the service")
}

// waitDocument waits until Talos has the document of the guard.
func (s *scenario) waitDocument(t *testing.T) {
	t.Helper()

	eventually(t, s.node, "waiting for the document", func(ctx context.Context) error {
		_, err := s.node.Talosctl(ctx, "get", "extensionserviceconfigs", "spegel-guard")

		return err
	})
}

// removeDocument removes the document of the guard. Talos restarts the service, and the defaults apply.
func (s *scenario) removeDocument(t *testing.T) {
	t.Helper()

	s.patch(t, removal("ExtensionServiceConfig", "spegel-guard"))

	eventually(t, s.node, "waiting for the defaults", func(ctx context.Context) error {
		active, err := spec[guardConfig](ctx, s.node, "guardconfigs", "active")
		if err == nil && active.Source == config.Path {
			err = errors.New("the document is still in force")
		}

		return err
	})
}

// removal is a patch that removes a document of the machine configuration.
func removal(kind, name string) string {
	text := "apiVersion: v1alpha1\nkind: " + kind + "\n$patch: delete\n"
	if name != "" {
		text += "name: " + name + "\n"
	}

	return text
}

// firewall: with Talos' ingress firewall nobody reaches the guard, and the patch of the documentation opens its port.
func (s *scenario) firewall(t *testing.T) {
	// The network of QEMU, from which this machine's connections come.
	const here = "10.0.2.0/24"

	patch, err := os.ReadFile("../../extension/patches/firewall.yaml")
	require.NoError(t, err)

	open := strings.Replace(string(patch), "192.168.0.0/16", here, 1)
	require.Contains(t, open, here)

	apid := strings.NewReplacer("name: spegel-guard", "name: apid", "50321", "50000").Replace(open)

	s.patch(t, "apiVersion: v1alpha1\nkind: NetworkDefaultActionConfig\ningress: block\n---\n"+apid)
	eventually(t, s.node, "waiting for the firewall", func(ctx context.Context) error {
		if handshake(ctx, s.node.Guard) == nil {
			return errors.New("the guard is still reachable")
		}

		// A handshake may also fail because the machine is slow.
		return handshake(ctx, s.node.Apid)
	})

	s.patch(t, open)
	eventually(t, s.node, "waiting for the port to be open", func(ctx context.Context) error { return handshake(ctx, s.node.Guard) })
	waitReady(t, s.node)

	s.patch(t, strings.Join([]string{
		removal("NetworkDefaultActionConfig", ""), removal("NetworkRuleConfig", "apid"), removal("NetworkRuleConfig", "spegel-guard"),
	}, "---\n"))
}

// handshake connects to a server of the node.
func handshake(ctx context.Context, address string) error {
	const wait = 5 * time.Second

	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: wait}, Config: &tls.Config{InsecureSkipVerify: true}}

	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}

	return conn.Close()
}

// sharedAddress: the guard of the node that has a shared address answers for it, with a certificate for it. Talos
// assigns a virtual IP to a link of one node; a static address stands for it, so that no election is waited for.
func (s *scenario) sharedAddress(t *testing.T) {
	// Not in a subnet of pods or services, which Talos leaves out of certificates.
	const shared = "192.168.77.1"

	// Without a document for any link Talos uses DHCP.
	s.patch(t, "apiVersion: v1alpha1\nkind: DHCPv4Config\nname: eth0\n---\n"+
		"apiVersion: v1alpha1\nkind: DummyLinkConfig\nname: dummy9\nup: true\naddresses:\n  - address: "+shared+"/32\n")

	eventually(t, s.node, "waiting for the certificate", func(ctx context.Context) error {
		raw, err := shown(ctx, s.node.Guard)
		if err != nil {
			return err
		}

		certificate, err := x509.ParseCertificate(raw)
		if err != nil {
			return err
		}

		return certificate.VerifyHostname(shared)
	})
	s.certificates(t)

	c, err := client.New(t.Context(), client.WithConfigFromFile(s.node.Talosconfig), client.WithEndpoints(s.node.Guard))
	require.NoError(t, err)

	defer c.Close()

	eventually(t, s.node, "waiting for the answer for the shared address", func(ctx context.Context) error {
		version, err := c.Version(client.WithNode(ctx, shared))
		if err == nil {
			assert.NotEmpty(t, version.GetMessages())
		}

		return err
	})

	// Another node's address is not its own, and guards do not forward by default.
	eventually(t, s.node, "waiting for the refusal", func(ctx context.Context) error {
		_, err := c.Version(client.WithNode(ctx, "192.168.77.2"))
		require.Error(t, err)

		if strings.Contains(err.Error(), "it forwards no request") {
			return nil
		}

		return err
	})

	s.patch(t, removal("DummyLinkConfig", "dummy9")+"---\n"+removal("DHCPv4Config", "eth0"))
	waitReady(t, s.node)
}

// firstDocument: Talos does not restart a running service for its first document, also if it had one before. After a restart it is
// in force.
func (s *scenario) firstDocument(t *testing.T) {
	s.removeDocument(t)

	before := guardService(t, s.node).process()

	s.patch(t, document(quick))
	s.waitDocument(t)
	assert.Equal(t, before, guardService(t, s.node).process(), "Talos has restarted the service for its first document")

	talosctl(t, s.node, "service", "ext-spegel-guard", "restart")
	s.waitConfig(t, config.Path, "enforce", "500ms")
}

// assertBooting: a service that cannot be created does not reboot the node. Its boot waits, and Talos' API answers.
func assertBooting(t *testing.T, n *talos.Node) {
	t.Helper()

	assert.Equal(t, 1, strings.Count(n.Console(), talos.BootLine), "the node has rebooted")
	assert.Contains(t, talosctl(t, n, "get", "machinestatus", "-o", "yaml"), "stage: booting")

	services := talosctl(t, n, "services")

	assert.Equal(t, "Failed ?", serviceState(services, "ext-never-created"), services)
	assert.Contains(t, []string{"Waiting ?", "Running ?"}, serviceState(services, "ext-crash-loop"), "Talos restarts it every 5 s")
	waitHealthy(t, n, "apid")
}
