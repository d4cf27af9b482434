// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/protobuf/client"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// daemon runs guard in temporary directories, with a client on its unix socket.
type daemon struct {
	flags flags
	dir   string
	st    state.State
	logs  *observer.ObservedLogs
	// lock and node are the real ones if nil.
	lock  locker
	node  newNode
	stop  context.CancelFunc
	ended chan error
}

// newDaemon returns a daemon on a node without machined, container runtime and cgroup hierarchy.
func newDaemon(t *testing.T) *daemon {
	t.Helper()

	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	require.NoError(t, os.Mkdir(run, 0o700))

	return &daemon{dir: dir, flags: flags{
		config: filepath.Join(dir, "config.yaml"), proc: "/proc", cgroup: filepath.Join(dir, "cgroup"), cri: filepath.Join(dir, "cri.sock"),
		machined: filepath.Join(dir, "machine.sock"), content: filepath.Join(dir, "content"), socket: filepath.Join(run, "guard.sock"),
		state: filepath.Join(run, "state.json"), evidence: filepath.Join(run, "evidence"),
	}}
}

func (d *daemon) write(t *testing.T, name, content string) string {
	t.Helper()

	path := filepath.Join(d.dir, name)
	next := path + ".next"
	require.NoError(t, os.WriteFile(next, []byte(content), 0o600))
	require.NoError(t, os.Rename(next, path))

	return path
}

func (d *daemon) start(t *testing.T) {
	t.Helper()

	core, logs := observer.New(zapcore.InfoLevel)
	ctx, stop := context.WithCancel(t.Context())
	d.logs, d.stop, d.ended = logs, stop, make(chan error, 1)

	lock := &enforce.Lock{Root: d.flags.cgroup}

	if d.node == nil {
		d.lock, d.node = lock, enforce.NewNode
	}

	go func() {
		defer lock.Release()

		d.ended <- guard(ctx, d.flags, d.lock, d.node, zap.New(core))
	}()

	t.Cleanup(func() {
		stop()
		require.NoError(t, <-d.ended, "the daemon ends without an error")
	})

	conn, err := grpc.NewClient("unix://"+d.flags.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	d.st = state.WrapCore(client.NewAdapter(v1alpha1.NewStateClient(conn)))
}

// condition waits until a condition has a reason and returns its message.
func (d *daemon) condition(t *testing.T, part resource.ID, reason string) string {
	t.Helper()

	var spec resources.ConditionSpec

	require.Eventually(t, func() bool {
		d.up(t)

		condition, err := safe.StateGetByID[*resources.Condition](t.Context(), d.st, part)
		if err == nil {
			spec = *condition.TypedSpec()
		}

		return spec.Reason == reason
	}, patience, 20*time.Millisecond, "condition %s does not become %s", part, reason)

	return spec.Message
}

// up fails the test if the daemon has ended.
func (d *daemon) up(t *testing.T) {
	t.Helper()

	select {
	case err := <-d.ended:
		d.ended <- nil
		require.FailNow(t, "the daemon ended", "%v", err)
	default:
	}
}

// logged waits for a log line that contains a text in its message or one of its fields.
func (d *daemon) logged(t *testing.T, text string) {
	t.Helper()

	require.Eventually(t, func() bool {
		d.up(t)

		for _, entry := range d.logs.All() {
			if strings.Contains(line(entry), text) {
				return true
			}
		}

		return false
	}, patience, 20*time.Millisecond, "no log line with %q", text)
}

func line(entry observer.LoggedEntry) string {
	text := entry.Message

	for _, field := range entry.Context {
		text += " " + field.Key + "=" + field.String
		if err, ok := field.Interface.(error); ok {
			text += err.Error()
		}
	}

	return text
}

func (d *daemon) config(t *testing.T) resources.GuardConfigSpec {
	t.Helper()

	active, err := safe.StateGetByID[*resources.GuardConfig](t.Context(), d.st, resources.GuardConfigID)
	require.NoError(t, err)

	return *active.TypedSpec()
}

// onlySocket is a part of a document that opens no TCP listener.
const onlySocket = "\napi: {tls: {source: none}}\n"
