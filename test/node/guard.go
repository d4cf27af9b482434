// SPDX-License-Identifier: MPL-2.0

//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// GuardEndpoint is where the guard's API listens in the test machine.
const GuardEndpoint = "127.0.0.1:50321"

// StateFile is the extension's saved state of the rules.
const StateFile = "/run/spegel-guard/state.json"

// OverridesFile is the extension's saved state of the overrides.
const OverridesFile = "/run/spegel-guard/overrides.json"

// HistoryFile is the extension's saved history.
const HistoryFile = "/run/spegel-guard/history.json"

// RemoveSavedState removes the saved state of the guard and the files that runc left in the root file system of the service.
// On Talos both end with a reboot. The service must not run.
func RemoveSavedState() error {
	diff, work := overlayDirs(extension.RootfsPath)

	for _, path := range []string{StateFile, OverridesFile, HistoryFile, diff, work} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}

	return nil
}

// Guard is the extension service under test with a client of its API.
type Guard struct {
	*Extension

	PKI    *pki.PKI
	Client *client.Client
	// Document is the configuration that it was started with.
	Document string
}

// apiDocument is appended to the configuration of every guard.
const apiDocument = `
api:
  listen: "` + GuardEndpoint + `"
  tls: {source: files, ca: /usr/local/etc/spegel-guard/ca.crt, cert: /usr/local/etc/spegel-guard/tls.crt, key: /usr/local/etc/spegel-guard/tls.key}
`

// StartGuard runs the installed extension with a configuration document and waits until its API answers.
func (n *Node) StartGuard(ctx context.Context, document string) (*Guard, error) {
	authority, err := pki.New()
	if err != nil {
		return nil, err
	}

	return n.StartGuardOf(ctx, document, authority)
}

// StartGuardOf is like StartGuard with certificates of a CA.
func (n *Node) StartGuardOf(ctx context.Context, document string, authority *pki.PKI) (*Guard, error) {
	ca, cert, key, err := authority.ServerFiles("127.0.0.1")
	if err != nil {
		return nil, err
	}

	return n.runGuard(ctx, authority, document, []ConfigFile{
		{Content: document + apiDocument, MountPath: config.Path},
		{Content: ca, MountPath: "/usr/local/etc/spegel-guard/ca.crt"},
		{Content: cert, MountPath: "/usr/local/etc/spegel-guard/tls.crt"},
		{Content: key, MountPath: "/usr/local/etc/spegel-guard/tls.key"},
	})
}

// StartTalosGuard is like StartGuard with certificates from machined, as on Talos. machined must run with certificates of
// the CA that are valid for 127.0.0.1.
func (n *Node) StartTalosGuard(ctx context.Context, document string, authority *pki.PKI) (*Guard, error) {
	return n.runGuard(ctx, authority, document, []ConfigFile{{Content: document, MountPath: config.Path}})
}

func (n *Node) runGuard(ctx context.Context, authority *pki.PKI, document string, files []ConfigFile) (*Guard, error) {
	ext, err := n.RunExtension(ctx, extension.ServicePath, files)
	if err != nil {
		return nil, err
	}

	guard := &Guard{Extension: ext, PKI: authority, Document: document}

	if guard.Client, err = guard.NewClient(ctx, authority, role.Reader); err != nil {
		return nil, err
	}

	if err := guard.waitServing(ctx); err != nil {
		return nil, fmt.Errorf("%w\n--- guard ---\n%s", err, ext.Log)
	}

	return guard, nil
}

// NewClient returns a client as talosctl creates it, with a certificate of a CA. Calls with one answer wait for the connection:
// on a slow machine a handshake may take longer than the guard allows it.
func (g *Guard) NewClient(ctx context.Context, authority *pki.PKI, roles ...role.Role) (*client.Client, error) {
	clientContext, err := authority.ClientContext(GuardEndpoint, roles...)
	if err != nil {
		return nil, err
	}

	return client.New(ctx, client.WithConfigContext(clientContext), client.WithGRPCDialOptions(grpc.WithChainUnaryInterceptor(whenReady)))
}

// whenReady is a grpc.UnaryClientInterceptor that waits for the connection, no longer than for anything else: the guard may have ended.
func whenReady(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	return invoke(ctx, method, request, reply, conn, append(opts, grpc.WaitForReady(true))...)
}

func (g *Guard) waitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the guard's API does not answer"))
	defer cancel()

	for {
		_, err := g.Client.Version(ctx)
		if err == nil {
			return nil
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Status gets the resource GuardStatus.
func (g *Guard) Status(ctx context.Context) (resources.GuardStatusSpec, error) {
	status, err := safe.StateGetByID[*resources.GuardStatus](ctx, g.Client.COSI, resources.GuardStatusID)
	if err != nil {
		return resources.GuardStatusSpec{}, err
	}

	return *status.TypedSpec(), nil
}

// WaitState waits until the guard has one of the states.
func (g *Guard) WaitState(ctx context.Context, timeout time.Duration, states ...string) (resources.GuardStatusSpec, error) {
	deadline := time.Now().Add(timeout)

	var (
		last resources.GuardStatusSpec
		err  error
	)

	for time.Now().Before(deadline) {
		if last, err = g.Status(ctx); err == nil {
			for _, state := range states {
				if last.State == state {
					return last, nil
				}
			}
		}

		time.Sleep(100 * time.Millisecond)
	}

	wrong := fmt.Errorf("state is %q (%s) after %s, expected one of %v", last.State, last.Message, timeout, states)

	return last, fmt.Errorf("%w\n--- guard ---\n%s", errors.Join(wrong, err), g.Log)
}
