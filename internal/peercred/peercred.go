// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package peercred identifies the process at the other end of a unix socket (SO_PEERCRED, unix(7)).
package peercred

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Of returns the process, user and group that connected. The pid is 0 when the process is in a PID namespace that is not a
// descendant of this process's.
func Of(conn net.Conn) (unix.Ucred, error) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return unix.Ucred{}, fmt.Errorf("failed to read the peer's credentials: %T has no socket", conn)
	}

	raw, err := socket.SyscallConn()
	if err != nil {
		return unix.Ucred{}, fmt.Errorf("failed to read the peer's credentials: %w", err)
	}

	var cred *unix.Ucred

	if controlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); controlErr != nil {
		return unix.Ucred{}, fmt.Errorf("failed to read the peer's credentials: %w", controlErr)
	}

	if err != nil {
		return unix.Ucred{}, fmt.Errorf("failed to read the peer's credentials: %w", err)
	}

	return *cred, nil
}
