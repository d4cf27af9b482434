// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

const atCeiling = "50001 100000"

// unlocked is a lock that nobody else has.
type unlocked struct{}

func (unlocked) Acquire() error { return nil }

// remains are what an earlier process left in force.
type remains struct {
	node *enforcetest.Node
	// over has a hold that is over, soon one that ends in a moment, held one that lasts.
	over, soon, held *enforcetest.Cgroup
}

func newRemains() *remains {
	r := &remains{node: enforcetest.NewNode()}
	inode := uint64(0)

	create := func(name string, left time.Duration) *enforcetest.Cgroup {
		inode++

		c := r.node.Create("kubepods/"+name, atCeiling, inode)
		c.SetJournal(cgroup.Journal{
			Target: "spegel/" + name + "/registry", Rule: "R", OwnerLimit: enforcetest.Unlimited, Applied: atCeiling, BootID: "boot",
			Since: max(0, boottime.Now()-time.Hour), HoldUntil: boottime.Now() + left,
		})

		return c
	}

	r.over, r.soon, r.held = create("over", -time.Second), create("soon", time.Second), create("held", time.Hour)

	return r
}

// released waits until the ceilings whose time is over are released.
func (r *remains) released(t *testing.T, c ...*enforcetest.Cgroup) {
	t.Helper()

	require.Eventually(t, func() bool {
		for _, one := range c {
			if one.CPUMax() != enforcetest.Unlimited {
				return false
			}
		}

		return true
	}, patience, 10*time.Millisecond)
}

// TestGuard_RestoresOverdueCeilings starts with each problem that keeps a part of the service from starting.
func TestGuard_RestoresOverdueCeilings(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() })

	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, d *daemon)
		// part and reason of the condition that shows the problem, or a text in the log.
		part   resource.ID
		reason string
		logged string
		// released: the ceiling in its hold is released, too.
		released bool
	}{
		{name: "nothing", prepare: func(t *testing.T, d *daemon) { d.write(t, "config.yaml", onlySocket) }, part: resources.ConditionAPI, reason: resources.ReasonOK},
		{
			name:    "invalid document",
			prepare: func(t *testing.T, d *daemon) { d.write(t, "config.yaml", "mode: kill") },
			part:    resources.ConditionConfig, reason: resources.ReasonBadConfig, released: true,
		},
		{
			name: "missing PEM files",
			prepare: func(t *testing.T, d *daemon) {
				d.write(t, "config.yaml", "api: {listen: '127.0.0.1:1', tls: {source: files, ca: /none/ca, cert: /none/crt, key: /none/key}}")
			},
			part: resources.ConditionAPI, reason: resources.ReasonNoCertificate,
		},
		{
			name: "machined absent", prepare: func(*testing.T, *daemon) {},
			part: resources.ConditionAPI, reason: resources.ReasonNoCertificate,
		},
		{
			name: "no socket of machined", prepare: func(_ *testing.T, d *daemon) { d.flags.machined = "" },
			part: resources.ConditionAPI, reason: resources.ReasonNoCertificate,
		},
		{
			name: "address of the API in use",
			prepare: func(t *testing.T, d *daemon) {
				authority, err := pki.New()
				require.NoError(t, err)

				ca, cert, key, err := authority.ServerFiles("127.0.0.1")
				require.NoError(t, err)

				d.write(t, "config.yaml", fmt.Sprintf("api: {listen: %q, forward: false, tls: {source: files, ca: %s, cert: %s, key: %s}}",
					taken.Addr(), d.write(t, "ca", ca), d.write(t, "crt", cert), d.write(t, "key", key)))
			},
			part: resources.ConditionAPI, reason: resources.ReasonNotServed,
		},
		{
			name: "address of the metrics in use",
			prepare: func(t *testing.T, d *daemon) {
				d.write(t, "config.yaml", "metrics: {listen: '"+taken.Addr().String()+"', tls: {source: none}}"+onlySocket)
			},
			part: resources.ConditionMetrics, reason: resources.ReasonNotServed,
		},
		{
			name:    "socket that cannot be created",
			prepare: func(t *testing.T, d *daemon) { d.flags.socket = d.write(t, "file", "") + "/guard.sock" },
			logged:  "failed to create the directory of the API's socket",
		},
		{
			name:    "damaged saved decisions",
			prepare: func(t *testing.T, d *daemon) { d.write(t, "run/state.json", "{") },
			logged:  "failed to load the saved decisions",
		},
		{
			name:    "directory in the place of the saved overrides",
			prepare: func(t *testing.T, d *daemon) { require.NoError(t, os.MkdirAll(d.flags.overrides()+"/x", 0o700)) },
			logged:  "failed to load saved overrides",
		},
		{
			name:    "no procfs",
			prepare: func(_ *testing.T, d *daemon) { d.flags.proc = filepath.Join(d.dir, "none") },
			logged:  "failed to read the boot id",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()

			r, d := newRemains(), newDaemon(t)
			d.lock = unlocked{}
			d.node = func(host.Host, func(error)) enforce.Node { return r.node.Enforce() }
			test.prepare(t, d)
			d.start(t)

			if test.logged != "" {
				d.logged(t, test.logged)
			} else {
				d.condition(t, test.part, test.reason)
			}

			r.released(t, r.over, r.soon)

			if test.released {
				r.released(t, r.held)
			} else {
				assert.Equal(t, atCeiling, r.held.CPUMax())
			}

			d.up(t)
		})
	}
}

// TestAttend_RestoresOverdueCeilings has a start that ends or waits, wherever it does.
func TestAttend_RestoresOverdueCeilings(t *testing.T) {
	errFatal := errors.New("fatal")

	for name, do := range map[string]func(t *testing.T, r *remains) error{
		"error at once": func(t *testing.T, r *remains) error {
			t.Helper()
			r.released(t, r.over) // before anything else starts

			return errFatal
		},
		"error later": func(t *testing.T, r *remains) error {
			t.Helper()
			r.released(t, r.over, r.soon)

			return errFatal
		},
		"panic": func(*testing.T, *remains) error { panic(errFatal) },
		"ceiling that cannot be restored at first": func(t *testing.T, r *remains) error {
			t.Helper()
			r.soon.Fail("Restore", enforcetest.ErrBroken)
			time.AfterFunc(2*time.Second, func() { r.soon.Fail("Restore", nil) })
			r.released(t, r.soon)

			return errFatal
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			r := newRemains()
			core, logs := observer.New(zapcore.InfoLevel)
			orphans := enforce.NewOrphans(r.node.Enforce(), unlocked{}, zap.New(core))
			orphans.Adopt(false)

			// A start that waits does not see that its context has ended.
			ctx, cancel := context.WithCancel(t.Context())
			cancel()

			err := func() (err error) {
				defer func() {
					if recovered := recover(); recovered != nil {
						err = errFatal
					}
				}()

				return attend(ctx, orphans, zap.New(core), func() error { return do(t, r) })
			}()

			require.ErrorIs(t, err, errFatal)
			assert.Equal(t, enforcetest.Unlimited, r.over.CPUMax())
			assert.Equal(t, atCeiling, r.held.CPUMax(), "the next process adopts it")
			assert.NotNil(t, r.held.Journal())
			assert.Positive(t, logs.FilterField(zap.String("target", "spegel/over/registry")).Len())
		})
	}
}
