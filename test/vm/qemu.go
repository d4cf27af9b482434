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
	"sync/atomic"
	"time"
)

// kernelArgs end the machine at a panic (with -no-reboot). The kernel's log of the boot explains a guest that does not become
// ready. Afterwards init makes the kernel quiet.
const kernelArgs = "console=ttyS0 panic=-1 reboot=t mitigations=off tsc=reliable"

// board has no HPET and no ACPI timer. With an HPET (boards pc and q35) the kernel's clock has jumped by 43 s, the time in which the
// HPET's counter overflows.
const board = "microvm,rtc=on"

// machine describes a boot.
type machine struct {
	qemu       QEMU
	kernel     string
	initrd     string
	memoryMiB  int
	consoleLog string
	marker     string
	out        io.Writer
}

// run boots the machine and copies the guest's output port to out until the guest reports its exit code, which run returns. It
// fails if the guest panics, ends early, or exceeds ctx.
func (m machine) run(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	// The log of an earlier attempt is not that of this boot.
	if err := os.RemoveAll(m.consoleLog); err != nil {
		return 0, err
	}

	var ready atomic.Bool

	go func() {
		if err := AwaitBoot(ctx, m.consoleLog, 0, func([]byte) bool { return ready.Load() }); errors.Is(err, ErrStalled) {
			cancel(err)
		}
	}()

	// The first port has the kernel's log, in a file. The second has the output of the programs.
	args := append(m.qemu.Command(),
		"-M", board, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", strconv.Itoa(m.memoryMiB)+"M",
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", kernelArgs+tscArg(),
		"-chardev", "file,id=console,path="+m.consoleLog, "-device", "isa-serial,chardev=console",
		"-chardev", "stdio,id=out,signal=off", "-device", "isa-serial,chardev=out",
	)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)

	// QEMU closes its files on an interrupt.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second

	var stderr strings.Builder

	cmd.Stderr = &stderr

	// Standard input is the input of the port and must stay open.
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

	code, copyErr := m.copyOutput(stdout, func() { ready.Store(true) })

	if copyErr == nil {
		// The guest is done. Its power-off may take long.
		cmd.Process.Signal(os.Interrupt) //nolint:errcheck
	}

	waitErr := cmd.Wait()

	switch {
	case copyErr == nil:
		return code, nil
	case ctx.Err() != nil:
		return 0, fmt.Errorf("the guest did not finish: %w", context.Cause(ctx))
	default:
		return 0, fmt.Errorf("the guest ended early: %w: %s", errors.Join(copyErr, waitErr), strings.TrimSpace(stderr.String()))
	}
}

// copyOutput copies lines until the exit line of the marker, and calls ready at its ready line.
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
			return 0, fmt.Errorf("the guest has reported no exit code: %w", err)
		}
	}
}
