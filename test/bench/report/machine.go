// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
	"github.com/spegel-guard/spegel-guard/test/vm"
)

// machine describes the machine of the measurement.
type machine struct {
	Processor, Kernel, QEMU, Go string
	Cores                       int
}

var model = regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`)

func thisMachine(ctx context.Context) (machine, error) {
	m := machine{Go: runtime.Version(), Cores: runtime.NumCPU(), Processor: "unknown"}

	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("failed to identify the machine: %w", err)
	}

	if match := model.FindSubmatch(info); match != nil {
		m.Processor = string(match[1])
	}

	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return m, fmt.Errorf("failed to identify the machine: %w", err)
	}

	m.Kernel = strings.TrimSpace(string(release))

	cache, err := artifacts.CacheDir()
	if err != nil {
		return m, err
	}

	qemu, err := vm.FetchQEMU(ctx, cache)
	if err != nil {
		return m, err
	}

	args := append(qemu.Command(), "--version")

	version, err := artifacts.Output(exec.CommandContext(ctx, args[0], args[1:]...))
	if err != nil {
		return m, fmt.Errorf("failed to identify the emulator: %w", err)
	}

	m.QEMU, _, _ = strings.Cut(string(version), "\n")

	return m, nil
}
