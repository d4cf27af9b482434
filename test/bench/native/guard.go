// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/role"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/bench/watcher"
	"github.com/spegel-guard/spegel-guard/test/node"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

const guardName = "spegel-guard"

// guard is a running guard that serves its API over TLS.
type guard struct {
	*watcher.Watcher

	authority *pki.PKI
}

// startGuard starts a guard of one target and waits until its state is ok.
func startGuard(ctx context.Context, dir, program, cri, document string, env ...string) (*guard, error) {
	authority, err := pki.New()
	if err != nil {
		return nil, err
	}

	ca, cert, key, err := authority.ServerFiles("127.0.0.1")
	if err != nil {
		return nil, err
	}

	at := func(name string) string { return filepath.Join(dir, name) }

	document = "mode: observe\n" + document + fmt.Sprintf("\napi:\n  listen: %q\n  tls: {source: files, ca: %s, cert: %s, key: %s}\n",
		node.GuardEndpoint, at("ca"), at("cert"), at("key"))

	for name, content := range map[string]string{"ca": ca, "cert": cert, "key": key, "document": document} {
		if err := os.WriteFile(at(name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}

	if err := os.MkdirAll(at("content"), 0o755); err != nil {
		return nil, err
	}

	started := &guard{authority: authority}

	started.Watcher, err = watcher.Start(ctx, guardName, append([]string{"/usr/bin/env"}, append(env, program,
		"-config", at("document"), "-cri", cri, "-machined", "", "-content", at("content"), "-evidence", "", "-socket", at("socket"),
		"-state", at("state"))...)...)
	if err != nil {
		return nil, err
	}

	return started, started.wait(ctx)
}

// client returns a client with its own certificate and connection.
func (g *guard) client(ctx context.Context) (*client.Client, error) {
	clientContext, err := g.authority.ClientContext(node.GuardEndpoint, role.Reader)
	if err != nil {
		return nil, err
	}

	return client.New(ctx, client.WithConfigContext(clientContext))
}

// wait waits until the target is found and measured.
func (g *guard) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()

	asking, err := g.client(ctx)
	if err != nil {
		return err
	}

	defer asking.Close() //nolint:errcheck // read only

	for {
		status, err := safe.StateGetByID[*resources.GuardStatus](ctx, asking.COSI, resources.GuardStatusID)
		if err == nil && status.TypedSpec().State == resources.StateOK {
			return nil
		}

		if err == nil {
			err = errors.New(status.TypedSpec().Message)
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("the guard is not ready: %w\n%s", err, g.Log())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// watch opens connections that watch three types each, as talosctl get -w does, until the context ends.
func (g *guard) watch(ctx context.Context, count int) error {
	for range count {
		watching, err := g.client(ctx)
		if err != nil {
			return err
		}

		context.AfterFunc(ctx, func() { watching.Close() }) //nolint:errcheck // the watch has ended

		discard, err := watcher.Watch(ctx, watching.COSI)
		if err != nil {
			return err
		}

		go discard()
	}

	return nil
}
