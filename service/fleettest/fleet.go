// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package fleettest serves the guards of a whole cluster in one process, on loopback addresses: the service's own API over
// states that tests create.
package fleettest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/doctor"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// Guard is the guard of one node.
type Guard struct {
	// Name is in the certificate, with the address.
	Name string
	// Address is host:port.
	Address string
	State   state.State
	History *record.History
	// Forward requests for other names to other guards.
	Forward bool
	// CaptureError is that of every capture of evidence; nil for none.
	CaptureError error

	// now is when the guard was made, and the end of its past: it samples nothing, so the end must not age while a slow test asks.
	now time.Duration
}

// Addresses returns loopback addresses other than 127.0.0.1, one for each node.
func Addresses(count int) []string {
	hosts := make([]string, count)

	for i := range hosts {
		hosts[i] = fmt.Sprintf("127.%d.%d.%d", 1+i/62500, i/250%250, 1+i%250)
	}

	return hosts
}

// FreePort returns a port that is free at the time.
func FreePort() (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("failed to find a free port: %w", err)
	}

	defer listener.Close() //nolint:errcheck // unused

	return listener.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // of a TCP listener
}

// New returns a guard with resources in its state. Serve serves it.
func New(ctx context.Context, name, host string, port int, specs ...resource.Resource) (*Guard, error) {
	st := state.WrapCore(namespaced.NewState(inmem.Build))

	if err := resources.Register(ctx, st); err != nil {
		return nil, err
	}

	for _, spec := range specs {
		if err := st.Create(ctx, spec); err != nil {
			return nil, fmt.Errorf("failed to create a resource: %w", err)
		}
	}

	return &Guard{
		Name: name, Address: net.JoinHostPort(host, strconv.Itoa(port)), State: st, History: &record.History{}, now: boottime.Now(),
	}, nil
}

// Past adds a history of a number of steps of 10 s until now to a target.
func (g *Guard) Past(target string, steps int, cores, tx, alloc func(step int) float64) {
	total := policy.Sample{At: g.now - time.Duration(steps)*record.HistoryStep}

	g.History.Add(target, "c", total)

	for step := range steps {
		seconds := record.HistoryStep.Seconds()
		total.At += record.HistoryStep
		total.CPU.Total += cores(step) * seconds
		total.TX.Total += tx(step) * seconds
		total.RX.Total += tx(step) * seconds
		total.Allocation.Total += alloc(step) * seconds
		g.History.Add(target, "c", total)
	}
}

// NodePast adds a history of a number of steps of 10 s until now to the node.
func (g *Guard) NodePast(steps int, tx func(step int) float64) {
	stats := resources.NodeStatsSpec{Clock: g.now - time.Duration(steps)*record.HistoryStep}

	g.History.AddNode(&stats)

	for step := range steps {
		bytes := uint64(tx(step) * record.HistoryStep.Seconds())
		stats.Clock += record.HistoryStep
		stats.TXBytes += bytes
		stats.RXBytes += bytes
		g.History.AddNode(&stats)
	}
}

// Serve serves guards with certificates of an authority until the context ends, and returns when they listen. Wait waits
// for their end.
func Serve(ctx context.Context, authority *pki.PKI, guards ...*Guard) (wait func() error, err error) {
	logger := zap.NewNop()

	var group errgroup.Group

	for _, g := range guards {
		host, _, err := net.SplitHostPort(g.Address)
		if err != nil {
			return nil, err
		}

		server, err := authority.Server(host, g.Name)
		if err != nil {
			return nil, err
		}

		material := identity.Material{CAs: [][]byte{authority.CA()}, Server: *server}

		if g.Forward {
			if material.Client, err = authority.Client("apid", time.Hour, role.Impersonator); err != nil {
				return nil, err
			}
		}

		id, err := identity.New(material)
		if err != nil {
			return nil, err
		}

		store := &identity.Store{}
		store.Set(id)

		actions := record.NewActions(g.State, logger)

		overrides, err := override.Open(ctx, g.State, actions, nil, override.File{}, boottime.Now, logger)
		if err != nil {
			return nil, err
		}

		node := api.Node{
			State: g.State, Overrides: overrides, Actions: actions, History: g.History, Now: func() time.Duration { return g.now },
			Capture: func(context.Context, string, resources.TargetSpec) (string, error) {
				if g.CaptureError != nil {
					return "", g.CaptureError
				}

				return "/run/spegel-guard/captures/1", nil
			},
			Doctor: func(ctx context.Context) ([]doctor.Check, error) {
				checks, err := doctor.Doctor{Cgroup: "/nowhere", SELinux: "/nowhere", State: g.State, Identities: store}.Checks(ctx)

				// This machine has no cgroup of spegel. It had no limits in the incident.
				checks = append(checks, doctor.Limits{Peak: 160 << 20, Used: 93 << 20}.Check(TargetOf(g.Name)))

				// The kernel is this machine's.
				return slices.DeleteFunc(checks, func(c doctor.Check) bool { return c.Name == "kernel" }), err
			},
		}

		group.Go(func() error {
			return api.Serve(ctx, node, api.Options{
				Listen: g.Address, Identities: store, Forward: g.Forward, HandshakeTimeout: patience,
			}, logger)
		})
		group.Go(func() error { return overrides.Run(ctx) })
	}

	for _, g := range guards {
		if err := listening(ctx, g.Address); err != nil {
			return group.Wait, err
		}
	}

	return group.Wait, nil
}

// listening waits until the address accepts a connection.
func listening(ctx context.Context, address string) error {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("failed to wait for %s: %w", address, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
