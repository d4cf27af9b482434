// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/doc"
	"github.com/spegel-guard/spegel-guard/test/node"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// reader runs the commands of README.
type reader struct {
	t         *testing.T
	n         *node.Node
	authority *pki.PKI
	guard     *node.Guard
	// home has the talosconfig, dir is the working directory of the commands.
	home, dir string
}

// TestReadme_ClosesLoop runs the commands of README and compares their output. The test adds the incident: a pod that runs
// away, and then calms down.
func TestReadme_ClosesLoop(t *testing.T) {
	n := testNode(t)
	r := newReader(t, n)

	l := &loop{
		node: n, spegel: runPod(t, n, node.SpegelPod("spegel-x7k2p")),
		peer: runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"}),
	}

	require.NoError(t, node.RemoveSavedState())

	readme, err := doc.Read("README.md")
	require.NoError(t, err)

	// What happens on the node before each stage.
	incident := map[string]func(){
		"document":  func() {},
		"calm":      func() {},
		"throttled": func() { l.runAway(t, l.spegel, l.peer) },
		"released": func() {
			assert.Equal(t, ceiling500, cpuMax(t, l.spegel), "cpu.max before the release")
			l.calm(t, l.spegel)
		},
		"override": func() { assert.Equal(t, unlimited, cpuMax(t, l.spegel)) },
		"stop":     func() { assert.NotEqual(t, unlimited, cpuMax(t, l.spegel)) },
	}

	stages, commands := 0, 0

	for _, block := range readme.Blocks {
		if block.Stage == "" {
			continue
		}

		before, ok := incident[block.Stage]
		require.True(t, ok, "README has an unknown stage %q", block.Stage)
		before()

		for _, command := range block.Commands() {
			r.do(command)

			commands++
		}

		stages++
	}

	assert.Equal(t, len(incident), stages, "number of stages in README")
	assert.Equal(t, unlimited, cpuMax(t, l.spegel), "cpu.max at the end")
	assert.Equal(t, unlimited, cpuMax(t, l.peer))
	noJournals(t)
	assert.Nil(t, r.guard, "README has not stopped the guard")
	t.Logf("%d commands in %d stages", commands, stages)
}

func newReader(t *testing.T, n *node.Node) *reader {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	pair, err := authority.Client("anna", time.Hour, role.Operator)
	require.NoError(t, err)

	r := &reader{t: t, n: n, authority: authority, home: t.TempDir(), dir: t.TempDir()}

	talosconfig := clientconfig.Config{Context: "test", Contexts: map[string]*clientconfig.Context{"test": pki.Context(pair, "127.0.0.1", authority)}}
	require.NoError(t, os.MkdirAll(filepath.Join(r.home, ".talos"), 0o700))
	require.NoError(t, talosconfig.Save(filepath.Join(r.home, ".talos", "config")))

	t.Cleanup(func() {
		if r.guard == nil {
			return
		}

		if t.Failed() {
			t.Logf("--- guard ---\n%s", r.guard.Log)
		}

		r.guard.Stop(context.Background()) // the test has already failed
	})

	return r
}

// do runs a command until its output matches README, or fails the test after a time.
func (r *reader) do(command doc.Command) {
	r.t.Helper()

	line := strings.ReplaceAll(command.Line, "NODE", "127.0.0.1")
	want := doc.Alike(command.Output)

	if r.talos(line) {
		return
	}

	var got string

	for deadline := time.Now().Add(2 * patience); ; {
		got = anywhere.Replace(r.run(line))
		if doc.Alike(got) == want {
			r.t.Logf("$ %s\n%s", line, got)

			return
		}

		if time.Now().After(deadline) {
			break
		}

		time.Sleep(time.Second)
	}

	require.Equal(r.t, want, doc.Alike(got), "$ %s\noutput in README:\n%s\noutput:\n%s", line, command.Output, got)
}

// anywhere replaces what depends on the machine: its address, and whether a ceiling ends with a probe, because a slow machine throttles
// even a calm workload that serves its metrics.
var anywhere = strings.NewReplacer("127.0.0.1", "NODE", " probe ", " release ")

func (r *reader) run(line string) string {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()

	var output bytes.Buffer

	// The guest has no shell, so the redirection is done here.
	line, file, redirected := strings.Cut(line, " > ")
	args := doc.Words(line)

	cmd := exec.CommandContext(ctx, "/usr/bin/"+args[0], args[1:]...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "HOME="+r.home)
	cmd.Stdout, cmd.Stderr = &output, &output

	if redirected {
		out, err := os.Create(filepath.Join(r.dir, file))
		require.NoError(r.t, err)

		defer out.Close()

		cmd.Stdout = out
	}

	cmd.Run() // the exit code depends on ceilings; the output is compared

	return output.String()
}

// talos does what machined does for two commands, because the test machine has no machined. It reports whether the line was
// one of them.
func (r *reader) talos(line string) bool {
	r.t.Helper()

	const patch, stop = "talosctl -n 127.0.0.1 patch mc -p @", "talosctl -n 127.0.0.1 service ext-spegel-guard stop"

	if file, ok := strings.CutPrefix(line, patch); ok {
		text, err := os.ReadFile(filepath.Join(r.dir, file))
		require.NoError(r.t, err)

		r.patch(text)

		return true
	}

	if line != stop {
		return false
	}

	code, _, err := r.guard.Stop(r.t.Context())
	require.NoError(r.t, err)
	assert.Zero(r.t, code)
	noPanic(r.t, r.guard.Log)

	r.guard = nil

	return true
}

// patch starts the service with the files of the machine configuration, which Talos' loader parses. The certificates are
// files, because there is no machined. On a slow machine the commands must end within the hold, and the load must exceed the threshold: the
// hold and the threshold differ from those of README.
func (r *reader) patch(text []byte) {
	r.t.Helper()

	machine, err := configloader.NewFromBytes(text)
	require.NoError(r.t, err)

	services := machine.ExtensionServiceConfigs()
	require.Len(r.t, services, 1)
	require.Equal(r.t, config.ServiceName, services[0].Name())

	files := services[0].ConfigFiles()
	require.Len(r.t, files, 1)
	require.Equal(r.t, config.Path, files[0].MountPath())

	document := files[0].Content()

	for _, change := range [][2]string{{"hold: 30s", "hold: 1m"}, {"threshold: 550m", "threshold: 250m"}} {
		require.Contains(r.t, document, change[0])
		document = strings.Replace(document, change[0], change[1], 1)
	}

	r.guard, err = r.n.StartGuardOf(r.t.Context(), document, r.authority)
	require.NoError(r.t, err)
}
