// SPDX-License-Identifier: MPL-2.0

//go:build linux

package machined

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/peercred"
)

// PIDTimeout is the time that machined waits for the service of an unknown process (pkg/grpc/middleware/auth/unix in Talos
// v1.13.0).
const PIDTimeout = 5 * time.Second

const (
	// extensionPrefix begins the ids of services that may have any role.
	extensionPrefix = "ext-"
	// pollInterval is the time between listings of the services while the process is unknown. machined watches them.
	pollInterval = 20 * time.Millisecond
)

// Services returns a process of each running service by the service's id. Talos uses the first process (ServicePID).
type Services func() (map[string]int, error)

// ExtensionServices returns the extension services of this node. Each has the cgroup system/extensions/<name>.
func ExtensionServices() (map[string]int, error) {
	files, err := filepath.Glob(filepath.Join(constants.CgroupMountPath, constants.CgroupExtensions, "*", "cgroup.procs"))
	if err != nil {
		return nil, err
	}

	services := map[string]int{}

	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue // the service ended
		}

		if err != nil {
			return nil, err
		}

		first, _, _ := strings.Cut(string(data), "\n")
		if first == "" {
			continue // no process runs
		}

		pid, err := strconv.Atoi(first)
		if err != nil {
			return nil, fmt.Errorf("failed to read %s: %w", file, err)
		}

		services[extensionPrefix+filepath.Base(filepath.Dir(file))] = pid
	}

	return services, nil
}

// ThisProcess returns the calling process as an extension service, for tests whose client and machined share a process.
func ThisProcess() (map[string]int, error) {
	return map[string]int{extensionPrefix + "test": os.Getpid()}, nil
}

// authorize checks the process of the caller and then the roles of a unary call.
func (m *Machined) authorize(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := m.admit(ctx, info.FullMethod); err != nil {
		return nil, err
	}

	return handler(ctx, request)
}

// authorizeStream is like authorize for streams.
func (m *Machined) authorizeStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := m.admit(stream.Context(), info.FullMethod); err != nil {
		return err
	}

	return handler(srv, stream)
}

func (m *Machined) admit(ctx context.Context, method string) error {
	p, _ := peer.FromContext(ctx)

	caller, ok := p.AuthInfo.(peerInfo)
	if !ok {
		return status.Error(codes.PermissionDenied, "not authorized")
	}

	if err := m.waitService(ctx, caller); err != nil {
		return err
	}

	// An extension service may have any role, so the roles of the request apply.
	if !rolesOf(ctx).IncludesAny(role.MakeSet(role.Reader, role.Operator, role.Admin)) {
		return status.Errorf(codes.PermissionDenied, "not authorized: %s needs a role", method)
	}

	return nil
}

// waitService waits until the caller is a process of an extension service: its first process, or one in the same mount
// namespace. A starting service is not listed yet.
func (m *Machined) waitService(ctx context.Context, caller peerInfo) error {
	ctx, cancel := context.WithTimeout(ctx, m.PIDTimeout)
	defer cancel()

	for {
		services, err := m.Services()
		if err != nil {
			return status.Errorf(codes.Internal, "failed to list service PIDs: %v", err)
		}

		for id, pid := range services {
			if strings.HasPrefix(id, extensionPrefix) && caller.belongsTo(pid) {
				return nil
			}
		}

		select {
		case <-ctx.Done():
			return status.Error(codes.PermissionDenied, "not authorized")
		case <-time.After(pollInterval):
		}
	}
}

func rolesOf(ctx context.Context) role.Set {
	md, _ := metadata.FromIncomingContext(ctx)
	roles, _ := role.Parse(md.Get(constants.APIAuthzRoleMetadataKey))

	return roles
}

// peerCredentials reads the process at the other end of a unix socket (SO_PEERCRED, unix(7)).
type peerCredentials struct{}

// peerInfo is the process of the caller and its mount namespace, which is empty if it could not be read.
type peerInfo struct {
	credentials.CommonAuthInfo
	unix.Ucred

	mountNamespace string
}

func (peerInfo) AuthType() string { return "unix-peer-creds" }

// belongsTo reports whether the caller is the process, or shares its mount namespace.
func (p peerInfo) belongsTo(pid int) bool {
	return int(p.Pid) == pid || p.mountNamespace != "" && p.mountNamespace == mountNamespace(pid)
}

func mountNamespace(pid int) string {
	// It is empty if the process has ended, as in Talos.
	namespace, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))

	return namespace
}

func (peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cred, err := peercred.Of(conn)

	return conn, peerInfo{Ucred: cred, mountNamespace: mountNamespace(int(cred.Pid))}, err
}

func (peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("peer credentials are only available to servers")
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix-peer-creds"}
}

func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

func (peerCredentials) OverrideServerName(string) error { return nil }
