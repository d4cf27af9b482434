// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// patience is how long a started daemon may take to show a condition.
const patience = time.Minute

// TestGuard_StaysUp starts the daemon with each problem that a node may have. It stays up, serves its unix socket if
// possible, and reports the condition.
func TestGuard_StaysUp(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() })

	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, d *daemon)
		// part, reason and texts in the message of the condition.
		part     resource.ID
		reason   string
		messages []string
		// logged is a text in the log, for problems without a condition.
		logged string
		// fallback: the defaults are in force in mode observe.
		fallback bool
	}{
		{
			name:    "document with mistakes",
			prepare: func(t *testing.T, d *daemon) { d.write(t, "config.yaml", "mode: kill\ninterval: 5ms\n") },
			part:    resources.ConditionConfig, reason: resources.ReasonBadConfig, fallback: true,
			messages: []string{
				`line 1: invalid mode "kill": must be observe or enforce`, `line 2: invalid interval "5ms": must be`,
				"the defaults are in force in mode observe",
			},
		},
		{
			name:    "document that is no YAML",
			prepare: func(t *testing.T, d *daemon) { d.write(t, "config.yaml", "mode: [") },
			part:    resources.ConditionConfig, reason: resources.ReasonBadConfig, messages: []string{"failed to parse YAML"}, fallback: true,
		},
		{
			name:    "document that is not UTF-8",
			prepare: func(t *testing.T, d *daemon) { d.write(t, "config.yaml", "mode: \xff") },
			part:    resources.ConditionConfig, reason: resources.ReasonBadConfig, messages: []string{"not UTF-8"}, fallback: true,
		},
		{
			name:    "document that is too large",
			prepare: func(t *testing.T, d *daemon) { d.write(t, "config.yaml", strings.Repeat("#", 2<<20)) },
			part:    resources.ConditionConfig, reason: resources.ReasonBadConfig, messages: []string{"too large"}, fallback: true,
		},
		{
			name:    "directory in the document's place",
			prepare: func(t *testing.T, d *daemon) { require.NoError(t, os.Mkdir(d.flags.config, 0o700)) },
			part:    resources.ConditionConfig, reason: resources.ReasonBadConfig, messages: []string{"not a regular file"}, fallback: true,
		},
		{
			name:    "pipe in the document's place",
			prepare: func(t *testing.T, d *daemon) { require.NoError(t, syscall.Mkfifo(d.flags.config, 0o600)) },
			part:    resources.ConditionConfig, reason: resources.ReasonBadConfig, messages: []string{"not a regular file"}, fallback: true,
		},
		{
			// Root can open any file except a loop of symbolic links.
			name:    "document that cannot be opened",
			prepare: func(t *testing.T, d *daemon) { require.NoError(t, os.Symlink(d.flags.config, d.flags.config)) },
			part:    resources.ConditionConfig, reason: resources.ReasonBadConfig, messages: []string{"too many levels of symbolic links"}, fallback: true,
		},
		{
			name: "missing PEM files",
			prepare: func(t *testing.T, d *daemon) {
				d.write(t, "config.yaml", "api: {listen: '127.0.0.1:1', tls: {source: files, ca: /none/ca, cert: /none/crt, key: /none/key}}")
			},
			part: resources.ConditionAPI, reason: resources.ReasonNoCertificate,
			messages: []string{"api.tls.ca", "/none/ca", "there is no TCP listener"},
		},
		{
			name: "broken PEM files of the metrics",
			prepare: func(t *testing.T, d *daemon) {
				pem := d.write(t, "broken.pem", "no PEM")
				d.write(t, "config.yaml", "metrics: {listen: '127.0.0.1:1', tls: {source: files, ca: "+pem+", cert: "+pem+", key: "+pem+"}}"+onlySocket)
			},
			part: resources.ConditionMetrics, reason: resources.ReasonNoCertificate, messages: []string{"failed to find any PEM data"},
		},
		{
			name:    "machined absent",
			prepare: func(*testing.T, *daemon) {},
			part:    resources.ConditionAPI, reason: resources.ReasonNoCertificate, messages: []string{"machine.sock"},
		},
		{
			name:    "no socket of machined",
			prepare: func(_ *testing.T, d *daemon) { d.flags.machined = "" },
			part:    resources.ConditionAPI, reason: resources.ReasonNoCertificate, messages: []string{"api.tls.source is talos and the flag -machined is empty"},
		},
		{
			name: "port in use",
			prepare: func(t *testing.T, d *daemon) {
				d.write(t, "config.yaml", "metrics: {listen: '"+taken.Addr().String()+"', tls: {source: none}}"+onlySocket)
			},
			part: resources.ConditionMetrics, reason: resources.ReasonNotServed, messages: []string{"metrics.listen", "address already in use"},
		},
		{
			name:    "no cgroup hierarchy",
			prepare: func(*testing.T, *daemon) {},
			part:    resources.ConditionDiscovery, reason: resources.ReasonNoCgroup2, messages: []string{"no such file or directory"},
		},
		{
			name:    "another file system instead of the cgroup hierarchy",
			prepare: func(_ *testing.T, d *daemon) { d.flags.cgroup = "/proc" },
			part:    resources.ConditionDiscovery, reason: resources.ReasonNoCgroup2, messages: []string{"not a cgroup2 file system"},
		},
		{
			name:    "boot id that cannot be read",
			prepare: func(_ *testing.T, d *daemon) { d.flags.proc = d.dir },
			part:    resources.ConditionConfig, reason: resources.ReasonOK, logged: "failed to read the boot id",
		},
		{
			name:    "broken saved decisions",
			prepare: func(t *testing.T, d *daemon) { d.write(t, "run/state.json", "{") },
			part:    resources.ConditionConfig, reason: resources.ReasonOK, logged: "failed to load the saved decisions",
		},
		{
			name:    "directory in the place of the saved overrides",
			prepare: func(t *testing.T, d *daemon) { require.NoError(t, os.MkdirAll(d.flags.overrides()+"/x", 0o700)) },
			part:    resources.ConditionConfig, reason: resources.ReasonOK, logged: "failed to load saved overrides",
		},
		{
			name:    "broken saved history",
			prepare: func(t *testing.T, d *daemon) { d.write(t, "run/history.json", "{") },
			part:    resources.ConditionConfig, reason: resources.ReasonOK, logged: "failed to load the saved history",
		},
		{
			name:    "evidence folder that cannot be written",
			prepare: func(t *testing.T, d *daemon) { d.flags.evidence = d.write(t, "file", "") + "/evidence" },
			part:    resources.ConditionConfig, reason: resources.ReasonOK,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()

			d := newDaemon(t)
			test.prepare(t, d)
			d.start(t)

			message := d.condition(t, test.part, test.reason)
			for _, text := range test.messages {
				assert.Contains(t, message, text)
			}

			if test.logged != "" {
				d.logged(t, test.logged)
			}

			d.condition(t, resources.ConditionDiscovery, resources.ReasonNoCgroup2) // the controllers run
			assert.Equal(t, test.fallback, d.config(t).Source == controllers.SourceFallback)

			if test.fallback {
				assert.Equal(t, "observe", d.config(t).Mode)
			}

			d.up(t)
		})
	}
}

// TestGuard_StaysUpWithoutItsDirectory has no unix socket and no saved state, and logs why.
func TestGuard_StaysUpWithoutItsDirectory(t *testing.T) {
	d := newDaemon(t)
	run := d.write(t, "file", "") + "/run/"
	d.flags.socket, d.flags.state, d.flags.evidence = run+"guard.sock", run+"state.json", run+"evidence"
	d.start(t)

	d.logged(t, "failed to create the directory of the API's socket")
	d.logged(t, "failed to load the saved decisions")
	d.logged(t, "failed to load the saved history")
	d.logged(t, resources.ReasonNoCgroup2)
	d.up(t)
}

// TestGuard_WaitsForTheLock waits and logs once while another guard has the lock.
func TestGuard_WaitsForTheLock(t *testing.T) {
	d := newDaemon(t)

	// Any directory of a cgroup2 file system can be locked, and nothing is written to it.
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if other := (&enforce.Lock{Root: root}); other.Acquire() == nil {
			other.Release()

			d.flags.cgroup = root
		}
	}

	other := &enforce.Lock{Root: d.flags.cgroup}
	if other.Acquire() != nil {
		t.Skip("there is no cgroup2 file system here; test/e2e has the same with two services")
	}

	defer other.Release()

	core, logs := observer.New(zapcore.InfoLevel)
	waited := make(chan bool, 1)
	lock := &enforce.Lock{Root: d.flags.cgroup}

	go func() { waited <- waitForLock(t.Context(), lock, zap.New(core)) }()

	require.Eventually(t, func() bool { return logs.Len() == 1 }, patience, 10*time.Millisecond)
	assert.Contains(t, line(logs.All()[0]), "another spegel-guard runs on this node")
	assert.Empty(t, waited)

	other.Release()
	assert.True(t, <-waited)
	lock.Release()
	assert.Equal(t, 1, logs.Len(), "logged once")

	require.NoError(t, other.Acquire())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.False(t, waitForLock(ctx, lock, zap.New(core)), "the context ends it")
}

// TestGuard_ServesOnceItCan starts without PEM files and with a port in use. The condition reports each problem, and the
// API is served without a restart once both are solved.
func TestGuard_ServesOnceItCan(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)

	d := newDaemon(t)
	in := func(name string) string { return filepath.Join(d.dir, name) }
	d.write(t, "config.yaml", fmt.Sprintf("api: {listen: %q, forward: false, tls: {source: files, ca: %s, cert: %s, key: %s}}",
		taken.Addr(), in("ca"), in("crt"), in("key")))
	d.start(t)
	d.condition(t, resources.ConditionAPI, resources.ReasonNoCertificate)

	authority, err := pki.New()
	require.NoError(t, err)

	ca, cert, key, err := authority.ServerFiles("127.0.0.1")
	require.NoError(t, err)

	d.write(t, "ca", ca)
	d.write(t, "crt", cert)
	d.write(t, "key", key)
	assert.Contains(t, d.condition(t, resources.ConditionAPI, resources.ReasonNotServed), "address already in use")

	require.NoError(t, taken.Close())
	assert.Empty(t, d.condition(t, resources.ConditionAPI, resources.ReasonOK))

	trusted, err := authority.ClientTLS("reader", role.Reader)
	require.NoError(t, err)

	conn, err := tls.Dial("tcp", taken.Addr().String(), trusted)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

// TestGuard_FollowsItsDocument goes from an invalid document to a valid one, to one that requires a restart, and to an
// invalid one again, without a restart.
func TestGuard_FollowsItsDocument(t *testing.T) {
	d := newDaemon(t)
	d.write(t, "config.yaml", "mode: kill")
	d.start(t)
	d.condition(t, resources.ConditionConfig, resources.ReasonBadConfig)

	// The last line of the log names the mistake: the end of the log is what a person sees of "talosctl logs".
	require.Eventually(t, func() bool {
		all := d.logs.All()

		return strings.Contains(line(all[len(all)-1]), `line 1: invalid mode "kill": must be`) && d.logs.FilterMessageSnippet("API is served").Len() > 0 &&
			d.logs.FilterField(zap.String("reason", resources.ReasonNoCgroup2)).Len() > 0
	}, patience, 20*time.Millisecond)

	d.write(t, "config.yaml", "ceiling: {cpu: 300m}\ntarget: {container: other}")
	d.condition(t, resources.ConditionConfig, resources.ReasonOK)

	active := d.config(t)
	assert.Equal(t, "enforce", active.Mode)
	assert.Equal(t, d.flags.config, active.Source)
	assert.Empty(t, active.LastError)
	assert.Contains(t, active.Document, "cpu: 300m")
	assert.Contains(t, active.Document, "container: other")

	d.write(t, "config.yaml", "ceiling: {cpu: 200m}\napi: {listen: ':1'}\nmetrics: {listen: ':2'}")
	assert.Contains(t, d.condition(t, resources.ConditionConfig, resources.ReasonRestartRequired),
		"restart the service to apply api.listen, metrics.listen; all other fields are in force")
	d.logged(t, "restart the service to apply api.listen, metrics.listen")
	assert.Contains(t, d.config(t).Document, "cpu: 200m")

	d.write(t, "config.yaml", "mode: kill")
	assert.Contains(t, d.condition(t, resources.ConditionConfig, resources.ReasonBadConfig), "the last good configuration stays in force")

	active = d.config(t)
	assert.Equal(t, "enforce", active.Mode)
	assert.Contains(t, active.Document, "cpu: 200m")
	assert.Contains(t, active.LastError, "kill")
}
