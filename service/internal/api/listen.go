// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// listen opens the listener. On TCP it waits for the first identity.
func listen(ctx context.Context, opts Options) (net.Listener, error) {
	if opts.Socket != "" {
		return listenUnix(ctx, opts.Socket)
	}

	if opts.Identities == nil {
		return nil, errors.New("failed to serve the API on TCP: it needs TLS (api.tls)")
	}

	if _, err := opts.Identities.Wait(ctx); err != nil {
		return nil, err
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("failed to listen on api.listen: %w", err)
	}

	return listener, nil
}

// listenUnix listens on a socket that only root can open. The socket of an earlier process is replaced.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("failed to create the directory of the API's socket: %w", err)
	}

	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("failed to remove the earlier API socket: %w", err)
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("failed to listen on the API's socket: %w", err)
	}

	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("failed to restrict the API's socket: %w", err), listener.Close())
	}

	return listener, nil
}
