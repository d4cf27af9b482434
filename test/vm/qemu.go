// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// kernelArgs: a panic ends the machine at once (with -no-reboot), which the host sees as an early end.
const kernelArgs = "console=ttyS0 panic=-1 reboot=t quiet loglevel=4 mitigations=off tsc=reliable"

// bootTimeout is how long a guest may take until its init is done. That is seconds on a machine that does nothing else;
// with other guests beside it 45 s were not enough, three times in a row.
const bootTimeout = 4 * time.Minute

// errStalled says that the guest's own init was never done.
var errStalled = fmt.Errorf("guest was not up after %s", bootTimeout)

// machine is one boot.
type machine struct {
	qemu       QEMU
	kernel     string
	initrd     string
	memoryMiB  int
	consoleLog string
	marker     string
	out        io.Writer
}

// run boots the machine and copies the guest's output port to out until the guest says it is done.
//
// It returns the guest's exit code. A guest that panics, hangs past ctx or ends early is an error.
func (m machine) run(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	stall := time.AfterFunc(bootTimeout, func() { cancel(errStalled) })
	defer stall.Stop()

	// The kernel talks on the first port, into a file; the programs on the second, raw.
	args := append(m.qemu.Command(),
		"-M", "microvm,rtc=on",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", strconv.Itoa(m.memoryMiB)+"M",
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", kernelArgs,
		"-chardev", "file,id=console,path="+m.consoleLog, "-device", "isa-serial,chardev=console",
		"-chardev", "stdio,id=out,signal=off", "-device", "isa-serial,chardev=out",
	)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)

	// SIGTERM first: QEMU then closes its files.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second

	var stderr strings.Builder

	cmd.Stderr = &stderr

	// QEMU reads its standard input as the port's; an empty pipe keeps it quiet.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}

	defer stdin.Close() //nolint:errcheck

	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}

	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("failed to start QEMU: %w", err)
	}

	code, copyErr := m.copyOutput(stdout, func() { stall.Stop() })

	if copyErr == nil {
		// The guest is done; its own power-off may take longer than we want to wait.
		cmd.Process.Signal(os.Interrupt) //nolint:errcheck
	}

	waitErr := cmd.Wait()

	switch {
	case copyErr == nil:
		return code, nil
	case ctx.Err() != nil:
		return 0, fmt.Errorf("guest did not finish: %w", context.Cause(ctx))
	default:
		return 0, fmt.Errorf("guest ended early: %w: %s", errors.Join(copyErr, waitErr), strings.TrimSpace(stderr.String()))
	}
}

// copyOutput streams lines until the marker's exit line, and calls ready at its ready line.
func (m machine) copyOutput(in io.Reader, ready func()) (int, error) {
	reader := bufio.NewReader(in)

	for {
		line, err := reader.ReadString('\n')

		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), m.marker+" exit "); ok {
			return strconv.Atoi(rest)
		}

		if strings.TrimSpace(line) == m.marker+" ready" {
			ready()

			continue
		}

		if _, writeErr := io.WriteString(m.out, line); writeErr != nil {
			return 0, writeErr
		}

		if err != nil {
			return 0, fmt.Errorf("no exit line: %w", err)
		}
	}
}
