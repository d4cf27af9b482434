// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/pki"
	"github.com/spegel-guard/spegel-guard/test/talos"
)

// shown returns the certificate that a server presents.
func shown(ctx context.Context, address string) ([]byte, error) {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}

	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}

	defer conn.Close()

	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw, nil
}

// certificates: the guard presents the certificate that apid presents. Each of the two follows a change of its own accord.
func (s *scenario) certificates(t *testing.T) {
	t.Helper()

	eventually(t, s.node, "waiting for the certificate of apid", func(ctx context.Context) error {
		apid, err := shown(ctx, s.node.Apid)
		if err != nil {
			return err
		}

		guard, err := shown(ctx, s.node.Guard)
		if err == nil && !bytes.Equal(apid, guard) {
			err = errors.New("the guard presents another certificate than apid")
		}

		return err
	})
}

// roles: the guard accepts the roles and certificates that apid accepts, for reading (talosctl) and for an instruction
// (spegelguardctl).
func (s *scenario) roles(t *testing.T) {
	const denied, refused = "PermissionDenied", "tls:"

	for name, test := range map[string]struct {
		client      talos.Client
		get, resume string // parts of the errors; empty is none
	}{
		"os:admin":    {client: talos.Client{Role: role.Admin, Valid: time.Hour}},
		"os:operator": {client: talos.Client{Role: role.Operator, Valid: time.Hour}},
		"os:reader":   {client: talos.Client{Role: role.Reader, Valid: time.Hour}, resume: denied},
		"os:etcd:backup": {
			client: talos.Client{Role: role.EtcdBackup, Valid: time.Hour}, get: denied, resume: denied,
		},
		"expired": {
			client: talos.Client{Role: role.Admin, Valid: -time.Minute}, get: refused, resume: "client certificate expired",
		},
		"other CA": {
			client: talos.Client{Role: role.Admin, Valid: time.Hour, OtherCA: true}, get: refused,
			resume: "the node does not accept the client certificate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := s.node.TalosconfigOf(strings.NewReplacer(":", "-", " ", "-").Replace(name), test.client)
			require.NoError(t, err)

			as := s.node.As(config)

			expectError(t, test.get, decision(t, as, func(ctx context.Context) error {
				_, err := as.GuardTalosctl(ctx, "get", "spegel")

				return err
			}))
			expectError(t, test.resume, decision(t, as, func(context.Context) error {
				out, err := tryCtl(t, as, "resume")
				if err == nil {
					assert.Contains(t, out, "no override was in force")
				}

				return err
			}))
		})
	}
}

// decision repeats a call until the guard has decided on it, and returns its error. A handshake that the guard gave up, because the
// machine stood still, is no decision.
func decision(t *testing.T, n *talos.Node, call func(ctx context.Context) error) (err error) {
	t.Helper()

	eventually(t, n, "waiting for the guard to decide", func(ctx context.Context) error {
		err = call(ctx)
		if err == nil || strings.Contains(err.Error(), "PermissionDenied") || strings.Contains(err.Error(), "tls:") ||
			strings.Contains(err.Error(), "client certificate") {
			return nil
		}

		return err
	})

	return err
}

func expectError(t *testing.T, text string, err error) {
	t.Helper()

	if text == "" {
		assert.NoError(t, err)
	} else {
		assert.ErrorContains(t, err, text)
	}
}

// rotateCA: while talosctl rotates the CA of the cluster, the guard accepts the certificates that apid accepts. Afterwards it
// rejects the old one.
func (s *scenario) rotateCA(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	var (
		answered, late, failed atomic.Int64
		lastErr                atomic.Value
		done                   = make(chan struct{})
	)

	go func() {
		defer close(done)

		for ctx.Err() == nil {
			began := time.Now()
			err := callUnverified(ctx, s.node)
			took := time.Since(began)

			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				answered.Add(1)
			case pki.IsLate(err, took):
				late.Add(1)
			default:
				failed.Add(1)
				lastErr.Store(err.Error())
			}
		}
	}()

	rotated := filepath.Join(s.node.Dir(), "talosconfig-rotated")
	cmd := exec.CommandContext(t.Context(), s.node.Programs.Talosctl, "--talosconfig", s.node.Talosconfig, "rotate-ca", "--talos=true",
		"--kubernetes=false", "--dry-run=false", "--control-plane-nodes", talos.Address, "--with-docs=false", "--with-examples=false", "-o", rotated)

	out, err := cmd.StdoutPipe()
	require.NoError(t, err)

	var printed, stderr strings.Builder

	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())

	for lines := bufio.NewScanner(out); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")

		// apid rejects the old certificate after this step.
		if strings.Contains(lines.Text(), "Removing old Talos CA") {
			cancel()
		}
	}

	require.NoError(t, cmd.Wait(), "%s%s", printed.String(), stderr.String())
	<-done

	t.Logf("%d calls during the rotation, and %d whose handshake was late", answered.Load(), late.Load())
	assert.Positive(t, answered.Load())
	assert.Zero(t, failed.Load(), "%v", lastErr.Load())

	old := s.node
	s.node = s.node.As(rotated)

	eventually(t, s.node, "waiting for the guard to follow", func(ctx context.Context) error {
		_, err := s.node.GuardTalosctl(ctx, "get", "spegel")

		return err
	})

	s.certificates(t)

	// apid and the guard follow one after the other.
	eventually(t, s.node, "waiting for the guard to refuse the old certificate", func(ctx context.Context) error {
		err := callUnverified(ctx, old)

		switch {
		case err == nil:
			return errors.New("it is accepted")
		case !strings.Contains(err.Error(), "tls:"):
			return err
		default:
			return nil
		}
	})
}

// callUnverified calls the guard of a node on a new connection with the certificate of its talosconfig. It does not verify the
// server's certificate, which changes during the rotation.
func callUnverified(ctx context.Context, n *talos.Node) error {
	config, err := clientconfig.Open(n.Talosconfig)
	if err != nil {
		return err
	}

	current := config.Contexts[config.Context]

	pair, err := client.CertificateFromConfigContext(current)
	if err != nil {
		return err
	}

	c, err := client.New(ctx, client.WithEndpoints(n.Guard), client.WithTLSConfig(&tls.Config{
		Certificates: []tls.Certificate{*pair}, InsecureSkipVerify: true,
	}))
	if err != nil {
		return err
	}

	defer c.Close()

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	_, err = c.Version(ctx)

	return err
}
