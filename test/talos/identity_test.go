// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"bufio"
	"context"
	"crypto/tls"
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

	"github.com/spegel-guard/spegel-guard/test/talos"
)

// shown returns the certificate that a server presents.
func shown(t *testing.T, address string) []byte {
	t.Helper()

	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}

	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)

	defer conn.Close()

	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw
}

// certificates: the guard presents the certificate that apid presents.
func (s *scenario) certificates(t *testing.T) {
	assert.Equal(t, shown(t, s.node.Apid), shown(t, s.node.Guard))
}

// roles: the guard accepts the roles and certificates that apid accepts.
func (s *scenario) roles(t *testing.T) {
	const denied, refused = "PermissionDenied", "tls:"

	for name, test := range map[string]struct {
		client    talos.Client
		get, stop string // the errors; empty is none
	}{
		"os:admin":    {client: talos.Client{Role: role.Admin, Valid: time.Hour}},
		"os:operator": {client: talos.Client{Role: role.Operator, Valid: time.Hour}},
		"os:reader":   {client: talos.Client{Role: role.Reader, Valid: time.Hour}, stop: denied},
		"os:etcd:backup": {
			client: talos.Client{Role: role.EtcdBackup, Valid: time.Hour}, get: denied, stop: denied,
		},
		"expired":  {client: talos.Client{Role: role.Admin, Valid: -time.Minute}, get: refused, stop: refused},
		"other CA": {client: talos.Client{Role: role.Admin, Valid: time.Hour, OtherCA: true}, get: refused, stop: refused},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := s.node.TalosconfigOf(strings.NewReplacer(":", "-", " ", "-").Replace(name), test.client)
			require.NoError(t, err)

			as := s.node.As(config)

			_, err = as.GuardTalosctl(t.Context(), "get", "spegel")
			expectError(t, test.get, err)

			if test.stop == "" {
				assert.NotContains(t, ctl(t, as, "resume"), denied)
			}
		})
	}
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
		calls, failed atomic.Int64
		lastErr       atomic.Value
		done          = make(chan struct{})
	)

	go func() {
		defer close(done)

		for ctx.Err() == nil {
			err := s.callUnverified(ctx)
			if ctx.Err() != nil {
				return
			}

			calls.Add(1)

			if err != nil {
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

	t.Logf("%d calls during the rotation", calls.Load())
	assert.Positive(t, calls.Load())
	assert.Zero(t, failed.Load(), "%v", lastErr.Load())

	old := s.node
	s.node = s.node.As(rotated)

	eventually(t, s.node, "waiting for the guard to follow", func(ctx context.Context) error {
		_, err := s.node.GuardTalosctl(ctx, "get", "spegel")

		return err
	})

	assert.Equal(t, shown(t, s.node.Apid), shown(t, s.node.Guard))

	_, err = old.GuardTalosctl(t.Context(), "get", "spegel")
	require.Error(t, err)
}

// callUnverified calls the guard on a new connection with the old certificate. It does not verify the server's certificate,
// which changes during the rotation.
func (s *scenario) callUnverified(ctx context.Context) error {
	config, err := clientconfig.Open(s.node.Talosconfig)
	if err != nil {
		return err
	}

	current := config.Contexts[config.Context]

	pair, err := client.CertificateFromConfigContext(current)
	if err != nil {
		return err
	}

	c, err := client.New(ctx, client.WithEndpoints(s.node.Guard), client.WithTLSConfig(&tls.Config{
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
