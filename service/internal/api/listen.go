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
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// listenUnix listens on a socket that only root can open. A socket an earlier process left is replaced.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("error making the folder of the API's socket: %w", err)
	}

	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("error removing an old API socket: %w", err)
	}

	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("error listening on the API's socket: %w", err)
	}

	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close() //nolint:errcheck // the other error counts

		return nil, fmt.Errorf("error restricting the API's socket: %w", err)
	}

	return listener, nil
}

// lookupTimeout is how long a name may take to be resolved.
const lookupTimeout = 2 * time.Second

// localTo tells whether a node's name or address is this node's, which is also what the listener has for one.
//
// apid compares with Talos' own resources. The guard takes the name from there, too; it shares the node's network, so
// the kernel knows the addresses. A name that is not the node's may be one in the DNS.
func localTo(name *identity.NodeName, listening net.Addr) func(ctx context.Context, node string) bool {
	return func(ctx context.Context, node string) bool {
		if name.Is(node) {
			return true
		}

		if ip := net.ParseIP(node); ip != nil {
			return isLocal(ip, listening)
		}

		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()

		addresses, err := net.DefaultResolver.LookupIPAddr(ctx, node)

		return err == nil && slices.ContainsFunc(addresses, func(a net.IPAddr) bool { return isLocal(a.IP, listening) })
	}
}

func isLocal(ip net.IP, listening net.Addr) bool {
	if tcp, ok := listening.(*net.TCPAddr); ok && tcp.IP.Equal(ip) {
		return true
	}

	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}

	return slices.ContainsFunc(addresses, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)

		return ok && network.IP.Equal(ip)
	})
}

// portOf is the port of an address to listen on.
func portOf(listen string) string {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "" // config has checked it
	}

	return port
}
