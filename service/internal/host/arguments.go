// SPDX-License-Identifier: MPL-2.0

//go:build linux

package host

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spegel-guard/spegel-guard/internal/regular"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// maxArguments is the longest command line that is read, in bytes. Spegel's has about 1 kB.
const maxArguments = 64 << 10

var errNoArgument = errors.New("the process has no such argument with a port")

// ListenPort returns the port of the address (host:port) in an argument of a target's first process: --flag=address or
// --flag address, of several the last. The process can write its own arguments (proc_pid_cmdline(5)): the port is for
// people.
func (h Host) ListenPort(target resources.TargetSpec, flag string) (uint16, error) {
	line, err := regular.ReadFile(filepath.Join(h.Proc, strconv.FormatInt(target.PID, 10), "cmdline"), maxArguments)
	if err != nil {
		return 0, fmt.Errorf("failed to read the arguments: %w", err)
	}

	if !h.Alive(target) {
		return 0, fmt.Errorf("process %d ended while its arguments were read", target.PID)
	}

	return portIn(strings.Split(string(line), "\x00"), flag)
}

func portIn(arguments []string, flag string) (uint16, error) {
	address := ""

	for i, argument := range arguments {
		if value, ok := strings.CutPrefix(argument, flag+"="); ok {
			address = value
		} else if argument == flag && i+1 < len(arguments) {
			address = arguments[i+1]
		}
	}

	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return 0, errNoArgument
	}

	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, errNoArgument
	}

	return uint16(port), nil
}
