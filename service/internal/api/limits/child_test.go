// SPDX-License-Identifier: MPL-2.0

//go:build linux

package limits_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// childEnv makes the test binary a guard's API in a process of its own, so that what it takes can be told
// from what its clients take. Its value is a folder with certificates, and the address to listen on.
const childEnv = "SPEGEL_GUARD_TEST_API"

const childSendTimeout = 3 * time.Second

// TestMain fails when any test leaves a goroutine behind.
func TestMain(m *testing.M) {
	if where := os.Getenv(childEnv); where != "" {
		dir, listen, _ := strings.Cut(where, " ")

		if err := runChild(dir, listen); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}

		return
	}

	goleak.VerifyTestMain(m)
}

// runChild serves until its input ends; each line of it is a command.
func runChild(dir, listen string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	st := state.WrapCore(namespaced.NewState(inmem.Build))
	if err := resources.Register(ctx, st); err != nil {
		return err
	}

	for _, r := range apitest.Specimens() {
		if err := st.Create(ctx, r); err != nil {
			return err
		}
	}

	var (
		group errgroup.Group
		store identity.Store
		peak  atomic.Uint64
	)

	files := identity.Files{Paths: childFiles(dir), Field: "api.tls"}
	options := api.Options{Listen: listen, Identities: &store, SendTimeout: childSendTimeout}

	group.Go(func() error { return files.Run(ctx, &store, func(error) {}) })
	group.Go(func() error { return api.Serve(ctx, api.Node{State: st, History: aDay()}, options, zap.NewNop()) })
	group.Go(func() error { return change(ctx, st, resources.NewRuleStatus(apitest.Workload+"/SpegelHighCPU")) })
	group.Go(func() error { return measureMemory(ctx, &peak) })

	fmt.Println("ready")

	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		switch input.Text() {
		case "peak":
			fmt.Println(peak.Load())
		case "now":
			runtime.GC()
			fmt.Println(inUse())
		case "goroutines":
			fmt.Println(runtime.NumGoroutine())
		case "poke":
			_, err := safe.StateUpdateWithConflicts(ctx, st, resources.NewGuardConfig(resources.GuardConfigID).Metadata(), func(r *resources.GuardConfig) error {
				r.TypedSpec().LastError += "."

				return nil
			})
			fmt.Println(err)
		}
	}

	cancel()

	if err := group.Wait(); err != nil {
		return err
	}

	if err := awaitClean(); err != nil {
		return err
	}

	fmt.Println("clean")

	return nil
}

// awaitClean waits for the ends of the handlers, for which the stop of gRPC does not wait. goleak itself waits half a second.
func awaitClean() error {
	for deadline := time.Now().Add(apitest.Patience); ; {
		err := goleak.Find()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// change makes a hundred events a second, as a guard with many targets and a short interval does.
func change(ctx context.Context, st state.State, what *resources.RuleStatus) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(10 * time.Millisecond):
		}

		_, err := safe.StateUpdateWithConflicts(ctx, st, what.Metadata(), func(r *resources.RuleStatus) error {
			r.TypedSpec().Value++

			return nil
		})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func measureMemory(ctx context.Context, peak *atomic.Uint64) error {
	for {
		peak.Store(max(peak.Load(), inUse()))

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func inUse() uint64 {
	var stats runtime.MemStats

	runtime.ReadMemStats(&stats)

	return stats.HeapInuse + stats.StackInuse
}

func childFiles(dir string) config.TLS {
	return config.TLS{CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
}

// child is such a process.
type child struct {
	cmd      *exec.Cmd
	endpoint string
	pki      *pki.PKI
	input    *os.File
	output   *bufio.Scanner
}

func startChild(t *testing.T) *child {
	t.Helper()

	c := &child{pki: apitest.NewPKI(t), endpoint: "127.0.0.1:" + apitest.FreePort(t)}
	dir := t.TempDir()

	ca, cert, key, err := c.pki.ServerFiles("127.0.0.1")
	require.NoError(t, err)

	files := childFiles(dir)
	for name, content := range map[string]string{files.CA: ca, files.Cert: cert, files.Key: key} {
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}

	in, input, err := os.Pipe()
	require.NoError(t, err)

	c.input = input
	c.cmd = exec.CommandContext(context.Background(), "/proc/self/exe")
	c.cmd.Env = append(os.Environ(), childEnv+"="+dir+" "+c.endpoint)
	c.cmd.Stdin, c.cmd.Stderr = in, os.Stderr

	output, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	require.NoError(t, in.Close())
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})

	c.output = bufio.NewScanner(output)
	require.Equal(t, "ready", c.line(t))

	return c
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	require.True(t, c.output.Scan(), "the process has ended")

	return c.output.Text()
}

// ask gives the process a line and returns its answer.
func (c *child) ask(t *testing.T, what string) string {
	t.Helper()

	_, err := c.input.WriteString(what + "\n")
	require.NoError(t, err)

	return c.line(t)
}

// megabytes answers a question about memory.
func (c *child) megabytes(t *testing.T, what string) float64 {
	t.Helper()

	var bytes float64

	_, err := fmt.Sscan(c.ask(t, what), &bytes)
	require.NoError(t, err)

	return bytes / 1e6
}

// resident is the process's peak resident set, in megabytes (proc(5), VmHWM).
func (c *child) resident(t *testing.T) float64 {
	t.Helper()

	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	require.NoError(t, err)

	_, rest, ok := strings.Cut(string(status), "VmHWM:")
	require.True(t, ok)

	var kilobytes float64

	_, err = fmt.Sscan(rest, &kilobytes)
	require.NoError(t, err)

	return kilobytes * 1024 / 1e6
}

// stop ends the process and returns its last line.
func (c *child) stop(t *testing.T) string {
	t.Helper()
	require.NoError(t, c.input.Close())

	return c.line(t)
}
