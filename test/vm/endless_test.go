// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// endless prints to the console for ever, as a guest whose boot never ends.
const endless = `#!/bin/sh
for argument; do case $argument in file,id=console,path=*) console=${argument#*path=};; esac; done
trap 'exit 1' INT
while :; do echo booting >> "$console"; sleep 0.01; done
`

// TestMachine_EndsGuestThatPrintsForEver: AwaitBoot waits as long as the console grows, but not longer than the caller.
func TestMachine_EndsGuestThatPrintsForEver(t *testing.T) {
	m := machine{qemu: QEMU{root: t.TempDir()}, consoleLog: filepath.Join(t.TempDir(), "console"), out: io.Discard}

	require.NoError(t, os.MkdirAll(m.qemu.libraries(), 0o755))
	require.NoError(t, os.WriteFile(m.qemu.loader(), []byte(endless), 0o755))

	timeout := errors.New("timeout of the run")

	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)

	go func() {
		for ctx.Err() == nil {
			if console, err := os.ReadFile(m.consoleLog); err == nil && len(console) > 0 {
				cancel(timeout)
			}

			time.Sleep(10 * time.Millisecond)
		}
	}()

	_, err := m.run(ctx)
	require.ErrorIs(t, err, timeout)
}
