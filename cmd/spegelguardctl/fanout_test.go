// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

const (
	// fanoutEnv is how many nodes there are; make bench and make test-cli have a thousand.
	fanoutEnv = "SPEGEL_GUARD_FANOUT"
	// bareAtOnce is how many nodes the bare calls ask at the same time, as many as the command.
	bareAtOnce = 256
)

// bare is a fan-out without anything around it.
type bare struct {
	tls       *tls.Config
	addresses []string
}

func (b bare) run(t *testing.T, call func(context.Context, *grpc.ClientConn) error) time.Duration {
	t.Helper()

	began := time.Now()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(bareAtOnce)

	for _, address := range b.addresses {
		group.Go(func() error {
			conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(b.tls)), fleettest.Patience())
			if err != nil {
				return err
			}

			defer conn.Close()

			return call(ctx, conn)
		})
	}

	require.NoError(t, group.Wait())

	return time.Since(began)
}

// bareStatus makes the calls of status.
func bareStatus(ctx context.Context, conn *grpc.ClientConn) error {
	group, ctx := errgroup.WithContext(ctx)

	for _, kind := range []string{
		resources.GuardStatusType, resources.TargetStatsType, resources.RuleStatusType, resources.CeilingStatusType, resources.OverrideType,
	} {
		group.Go(func() error { return bareList(ctx, conn, kind) })
	}

	group.Go(func() error {
		_, err := machine.NewMachineServiceClient(conn).Version(ctx, &emptypb.Empty{})

		return err
	})

	return group.Wait()
}

func bareList(ctx context.Context, conn *grpc.ClientConn, kind string) error {
	stream, err := v1alpha1.NewStateClient(conn).List(ctx, &v1alpha1.ListRequest{Namespace: resources.Namespace, Type: kind})

	for err == nil {
		_, err = stream.Recv()
	}

	if errors.Is(err, io.EOF) {
		return nil
	}

	return err
}

// bareFigures are the calls of compare.
func bareFigures(ctx context.Context, conn *grpc.ClientConn) error {
	group, ctx := errgroup.WithContext(ctx)
	state := v1alpha1.NewStateClient(conn)

	group.Go(func() error {
		_, err := state.Get(ctx, &v1alpha1.GetRequest{Namespace: resources.Namespace, Type: resources.NodeStatsType, Id: resources.NodeStatsID})

		return err
	})
	group.Go(func() error { return bareList(ctx, conn, resources.TargetStatsType) })
	group.Go(func() error {
		_, err := guardv1alpha1.NewGuardServiceClient(conn).History(ctx, &guardv1alpha1.HistoryRequest{Since: durationpb.New(client.FiguresOver)})

		return err
	})

	return group.Wait()
}

// big is a fleet of many nodes.
type big struct {
	cluster

	addresses []string
	tls       *tls.Config
}

func newBig(t *testing.T, count int) *big {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	port, err := fleettest.FreePort()
	require.NoError(t, err)

	b := &big{cluster: cluster{pki: authority}}
	ctx, cancel := context.WithCancel(context.Background())

	for i, host := range fleettest.Addresses(count) {
		guard, err := fleettest.NewWith(ctx, fleettest.HealthyFigures(i), host, port)
		require.NoError(t, err)

		b.guards = append(b.guards, guard)
		b.addresses = append(b.addresses, guard.Address)
	}

	wait, err := fleettest.Serve(ctx, authority, b.guards...)
	require.NoError(t, err)

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, wait())
	})

	b.talosconfig = b.config(t, b.addresses, role.Reader)
	b.tls, err = authority.ClientTLS("anna", role.Reader)
	require.NoError(t, err)

	return b
}

// howMany nodes there are.
func howMany(t *testing.T) int {
	t.Helper()

	count := 60

	if text := os.Getenv(fanoutEnv); text != "" {
		_, err := fmt.Sscan(text, &count)
		require.NoError(t, err)
	}

	return count
}

// TestStatus_AsksThousandGuards: commands show all nodes. How much longer they take than their bare calls is printed for make bench: the
// ratio of the best of some rounds, in turns.
func TestStatus_AsksThousandGuards(t *testing.T) {
	count := howMany(t)
	b := newBig(t, count)
	plain := bare{tls: b.tls, addresses: b.addresses}

	const rounds = 5

	for _, command := range []struct {
		name string
		call func(context.Context, *grpc.ClientConn) error
		rows int
	}{{"status", bareStatus, count + 1}, {"compare", bareFigures, count + 4}} {
		best := map[string]time.Duration{}

		for deadline, round := time.Now().Add(patience), 0; round < rounds; round++ {
			bareTook := plain.run(t, command.call)

			began := time.Now()
			got := b.run(command.name)
			took := time.Since(began)

			// The machine stood still while the last nodes were asked, and compare does not wait for them.
			if strings.Contains(got.stderr, client.ErrStraggler.Error()) && time.Now().Before(deadline) {
				round--

				continue
			}

			require.Equal(t, 0, got.code, got.stderr)
			require.Equal(t, command.rows, strings.Count(got.stdout, "\n"), "a row per node")

			for name, d := range map[string]time.Duration{"bare": bareTook, "command": took} {
				if best[name] == 0 || d < best[name] {
					best[name] = d
				}
			}
		}

		ratio := best["command"].Seconds() / best["bare"].Seconds()
		t.Logf("%s of %d nodes: %.2f times the bare calls (%s, %s; best of %d, in turns)", command.name, count, ratio,
			best["command"].Round(time.Millisecond), best["bare"].Round(time.Millisecond), rounds)
	}
}

// lines counts them as they come.
type lines struct {
	mu    sync.Mutex
	seen  int
	at    time.Time
	until int
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.seen += strings.Count(string(p), "\n")

	if l.at.IsZero() && l.seen >= l.until {
		l.at = time.Now()
	}

	return len(p), nil
}

// TestStatus_DeadAndHangingNodesHoldNobodyBack: one in ten is dead, one in twenty hangs.
func TestStatus_DeadAndHangingNodesHoldNobodyBack(t *testing.T) {
	count := howMany(t)
	dead, hanging := count/10, count/20
	alive := count - dead - hanging
	b := newBig(t, alive)

	all := fleettest.Addresses(count)
	_, port, err := net.SplitHostPort(b.addresses[0])
	require.NoError(t, err)

	nodes := append([]string(nil), b.addresses...)

	for _, host := range all[alive : alive+dead] {
		nodes = append(nodes, net.JoinHostPort(host, port))
	}

	for _, host := range all[alive+dead:] {
		address := net.JoinHostPort(host, port)
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { listener.Close() })

		nodes = append(nodes, address)
	}

	b.talosconfig = b.config(t, nodes, role.Reader)

	// Long beside what this machine takes for those that answer.
	plain := bare{tls: b.tls, addresses: b.addresses}.run(t, bareStatus)
	timeout := max(5*time.Minute, 20*plain)

	a := newApp()
	rows := &lines{until: alive + 1}
	stderr := &buffer{}
	a.stdout, a.stderr = rows, stderr
	// A node on a busy machine may need as long to connect. The test waits as long for those that hang.
	a.open = func(options client.Options) (*client.Fleet, error) {
		options.DialOptions = append(options.DialOptions, fleettest.ConnectFor(20*time.Second))

		return client.Open(options)
	}

	root := a.root()
	root.SetArgs([]string{"--talosconfig", b.talosconfig, "--timeout", timeout.String(), "status"})

	began := time.Now()
	err = root.ExecuteContext(t.Context())
	whole := time.Since(began)

	require.Equal(t, exitUnavailable, exitCode(err))
	assert.ErrorContains(t, err, fmt.Sprintf("%d of %d nodes failed", dead+hanging, count))
	assert.Equal(t, 1, strings.Count(err.Error(), "nothing listens on port "+port), err)

	// Each node is named once, below its cause.
	for _, node := range nodes[alive:] {
		assert.Contains(t, err.Error(), node)
	}

	assert.LessOrEqual(t, strings.Count(err.Error(), "\n"), 2*3, err)

	shown := rows.at.Sub(began)
	t.Logf("status: the %d that answer were shown after %s (the bare calls to them took %s), the last of the others failed after %s",
		alive, shown.Round(time.Millisecond), plain.Round(time.Millisecond), whole.Round(time.Millisecond))
	assert.Equal(t, alive+1, rows.seen)
	assert.Less(t, shown, timeout, "they were shown when a hanging node had its timeout")

	var got ran

	// A live node may be late, too, and compare does not wait for it.
	for deadline := time.Now().Add(patience); strings.Count(got.stdout, "\n") != alive+4 && time.Now().Before(deadline); {
		began = time.Now()
		got = b.run("--timeout", timeout.String(), "compare")
	}

	t.Logf("compare: %s", time.Since(began).Round(time.Millisecond))
	assert.Equal(t, exitUnavailable, got.code)
	assert.Equal(t, alive+4, strings.Count(got.stdout, "\n"))
	// On a slow machine gRPC gives up connecting before most nodes have responded.
	assert.Regexp(t, "no response yet, when most other nodes had responded|no answer from", got.stderr)

	for _, node := range nodes[alive+dead:] {
		assert.Contains(t, got.stderr, node)
	}
	assert.Less(t, time.Since(began), timeout)
}
