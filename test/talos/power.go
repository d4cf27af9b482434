// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spegel-guard/spegel-guard/test/vm"
)

// BootLine is the first line that Talos' init prints.
const BootLine = "[initramfs] booting Talos"

// maxBoots is how often a machine is booted whose kernel stalls.
const maxBoots = 5

// AwaitBoot waits until Talos' init runs, or the machine is off. From is where the output of the boot begins on the console, in bytes. A
// boot that stalls in the kernel is repeated with the same image and disk: the emulator causes that, and no code of this project runs by
// then.
func (n *Node) AwaitBoot(ctx context.Context, from int) error {
	for attempt := 1; ; attempt++ {
		err := vm.AwaitBoot(ctx, n.consolePath(), from, func(output []byte) bool {
			return bytes.Contains(output, []byte(BootLine)) || n.isOff()
		})
		if !errors.Is(err, vm.ErrStalled) || attempt == maxBoots {
			return err
		}

		fmt.Fprintf(os.Stderr, "talos: %v (attempt %d of %d); booting again\n", err, attempt, maxBoots)
		n.switchOff()

		from = len(n.Console())

		if err := n.switchOn(); err != nil {
			return err
		}
	}
}

// switchOn starts the machine, which outlives any context: Stop ends it.
func (n *Node) switchOn() error {
	cmd := exec.Command(n.args[0], n.args[1:]...) //nolint:noctx
	cmd.Stderr = os.Stderr

	if err := cmd.Start(); err != nil {
		return fmt.Errorf("failed to start QEMU: %w", err)
	}

	done := make(chan struct{})
	n.cmd, n.done = cmd, done

	go func() {
		cmd.Wait() //nolint:errcheck // switchOff kills it, WaitFor reports an earlier end
		close(done)
	}()

	return nil
}

// switchOff ends the machine without a shutdown.
func (n *Node) switchOff() {
	n.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-n.done
}

func (n *Node) isOff() bool {
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}
