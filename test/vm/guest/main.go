// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command guest is the first process of the test machine. It prepares the system, runs the programs of its plan and powers off.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/test/vm/plan"
)

func main() {
	code := 1
	marker := "guest"

	if err := run(&code, &marker); err != nil {
		say("guest init: %v\n", err)
	}

	say("\n%s exit %d\n", marker, code)

	// Wait until the port has transmitted all output.
	unix.IoctlSetInt(int(os.Stdout.Fd()), unix.TCSBRK, 1) //nolint:errcheck
	unix.Sync()
	time.Sleep(200 * time.Millisecond)
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) //nolint:errcheck
}

// say writes to the output port, or to the kernel's log if the port is not open or fails.
func say(format string, args ...any) {
	if _, err := fmt.Fprintf(os.Stdout, format, args...); err != nil {
		os.WriteFile("/dev/kmsg", fmt.Appendf(nil, format, args...), 0) //nolint:errcheck // there is no other output
	}
}

func run(code *int, marker *string) error {
	if err := mountAll(); err != nil {
		return err
	}

	if err := openPorts(); err != nil {
		return err
	}

	data, err := os.ReadFile(plan.Path)
	if err != nil {
		return err
	}

	var p plan.Plan

	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("failed to read the plan: %w", err)
	}

	*marker = p.Marker

	for _, step := range []func() error{
		func() error { return loadModules(p.Modules) },
		setUpNetwork,
		setUpCgroups,
		quietKernel,
	} {
		if err := step(); err != nil {
			return err
		}
	}

	// The host boots again if the boot stops before this line.
	say("%s ready\n", p.Marker)

	*code = 0

	for _, program := range p.Programs {
		exit, err := runProgram(program)
		if err != nil {
			say("guest init: %v\n", err)

			exit = 1
		}

		if exit != 0 && *code == 0 {
			*code = exit
		}
	}

	return nil
}

// runProgram runs a program. As init it also reaps orphans.
func runProgram(program plan.Program) (int, error) {
	pid, err := syscall.ForkExec(program.Path, append([]string{program.Path}, program.Args...), &syscall.ProcAttr{
		Dir:   program.Dir,
		Env:   append(os.Environ(), program.Env...),
		Files: []uintptr{0, os.Stdout.Fd(), os.Stdout.Fd()},
	})
	if err != nil {
		return 0, fmt.Errorf("failed to start %s: %w", program.Path, err)
	}

	for {
		var status syscall.WaitStatus

		ended, err := syscall.Wait4(-1, &status, 0, nil)

		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("failed to wait for %s: %w", program.Path, err)
		case ended != pid:
			continue
		case status.Signaled():
			say("guest init: %s ended by %s\n", program.Path, status.Signal())

			return 128 + int(status.Signal()), nil
		default:
			return status.ExitStatus(), nil
		}
	}
}
