// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/protobuf/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// service is the extension service as Talos runs it, with a client on its own socket.
type service struct {
	*node.Extension

	st state.State
}

// serve runs the service of a service file with configuration documents. Without a document nothing is mounted.
func serve(t *testing.T, n *node.Node, serviceFile string, documents ...string) *service {
	t.Helper()

	return serveWith(t, n, serviceFile, documents)
}

// serveWith is like serve with more options for the container.
func serveWith(t *testing.T, n *node.Node, serviceFile string, documents []string, options ...oci.SpecOpts) *service {
	t.Helper()

	var files []node.ConfigFile

	for _, document := range documents {
		files = append(files, node.ConfigFile{Content: document, MountPath: config.Path})
	}

	ext, err := n.RunExtension(t.Context(), serviceFile, files, options...)
	require.NoError(t, err)

	t.Cleanup(func() {
		ext.Stop(context.Background())
		noPanic(t, ext.Log)

		if t.Failed() {
			t.Logf("--- guard ---\n%s", ext.Log)
		}
	})

	conn, err := grpc.NewClient("unix:///run/spegel-guard/guard.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	return &service{Extension: ext, st: state.WrapCore(client.NewAdapter(v1alpha1.NewStateClient(conn)))}
}

// stops stops the service as machined does. The exit code is not zero if it has to be killed after ten seconds.
func (s *service) stops(t *testing.T) {
	t.Helper()

	code, took, err := s.Stop(t.Context())
	require.NoError(t, err)
	assert.Zero(t, code, "%s", s.Log)
	t.Logf("stopped within %s", took.Round(time.Millisecond))
}

func (s *service) waitState(t *testing.T, want string) {
	t.Helper()

	last := ""

	require.Eventually(t, func() bool {
		status, err := safe.StateGetByID[*resources.GuardStatus](t.Context(), s.st, resources.GuardStatusID)
		if err == nil {
			last = status.TypedSpec().State
		}

		return last == want
	}, patience, 100*time.Millisecond, "expected state %s, last %s\n%s", want, &last, s.Log)
}

// config waits until the configuration is served, and returns it.
func (s *service) config(t *testing.T) resources.GuardConfigSpec {
	t.Helper()

	var spec resources.GuardConfigSpec

	require.Eventually(t, func() bool {
		active, err := safe.StateGetByID[*resources.GuardConfig](t.Context(), s.st, resources.GuardConfigID)
		if err == nil {
			spec = *active.TypedSpec()
		}

		return err == nil
	}, patience, 100*time.Millisecond, "%s", s.Log)

	return spec
}

// overSocket disables the API on TCP, which these tests do not need.
const overSocket = "\napi: {tls: {source: none}}\n"

// TestService_StartsWithoutDocument: the service starts with the defaults and stops. machined, which has its certificates,
// does not run, so the API is not served on TCP.
func TestService_StartsWithoutDocument(t *testing.T) {
	n := testNode(t)
	require.NoError(t, node.RemoveSavedState())
	runPod(t, n, node.SpegelPod("spegel-x7k2p"))

	s := serve(t, n, extension.ServicePath)
	s.waitState(t, resources.StateOK)

	cfg := s.config(t)
	assert.Equal(t, "defaults", cfg.Source)
	assert.Equal(t, "enforce", cfg.Mode)

	s.stops(t)
}

// TestService_ReadsFirstDocumentAfterRestart: Talos mounts files when it creates the container, and does not restart a
// running service for its first document. The defaults stay in force until the next start.
func TestService_ReadsFirstDocumentAfterRestart(t *testing.T) {
	n := testNode(t)
	require.NoError(t, node.RemoveSavedState())
	runPod(t, n, node.SpegelPod("spegel-x7k2p"))

	s := serve(t, n, extension.ServicePath)
	s.waitState(t, resources.StateOK)

	// Talos writes the file of the document.
	require.NoError(t, node.WriteConfigFile(config.ServiceName, node.ConfigFile{Content: "mode: observe" + overSocket, MountPath: config.Path}))
	time.Sleep(3 * time.Second)
	assert.Equal(t, "defaults", s.config(t).Source)
	s.stops(t)

	s = serve(t, n, extension.ServicePath, "mode: observe"+overSocket)
	s.waitState(t, resources.StateOK)
	assert.Equal(t, config.Path, s.config(t).Source)
	assert.Equal(t, "observe", s.config(t).Mode)
	s.stops(t)
}

// TestService_ContinuesHoldWithNewDocument: a stop releases the ceiling. The start with a new document continues the saved
// hold with the ceiling of that document.
func TestService_ContinuesHoldWithNewDocument(t *testing.T) {
	l := newLoop(t, longHold, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	since := heldSince(t, l)

	l.stop(t)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))

	l.start(t, strings.Replace(longHold, "cpu: 500m", "cpu: 300m", 1))
	waitCPUMax(t, l, l.spegel, "30001 100000", patience)
	assert.Equal(t, since, heldSince(t, l), "start of the saved hold")

	assert.Equal(t, unlimited, cpuMax(t, l.peer), "cpu.max of the bystander")
}

// diagnoses waits until the last line of the log contains a text. The service keeps running.
func (s *service) diagnoses(t *testing.T, want string) {
	t.Helper()

	require.Eventually(t, func() bool {
		lines := strings.Split(strings.TrimSpace(s.Log.String()), "\n")

		return strings.Contains(lines[len(lines)-1], want)
	}, patience, 100*time.Millisecond, "expected %s\n%s", want, s.Log)
}

// TestService_WritesNothingWithInvalidDocument restarts the service as Talos does at each change. With an invalid document
// it reports the error in its last line and writes nothing. With a valid one it works.
func TestService_WritesNothingWithInvalidDocument(t *testing.T) {
	n := testNode(t)
	require.NoError(t, node.RemoveSavedState())
	pod := runPod(t, n, node.SpegelPod("spegel-x7k2p"))

	for range 3 {
		audit, err := node.StartAudit()
		require.NoError(t, err)

		s := serve(t, n, extension.ServicePath, "mode: kill")
		s.diagnoses(t, `line 1: invalid mode \"kill\": must be observe or enforce`)

		pid := s.PID()

		s.stops(t)
		require.NoError(t, audit.Stop())
		assert.Empty(t, audit.Writes(pid))
		assert.Equal(t, unlimited, cpuMax(t, pod))
	}

	s := serve(t, n, extension.ServicePath, fast+overSocket)
	s.waitState(t, resources.StateOK)
	s.stops(t)
}

// varied returns the path of a copy of the service file with replaced text.
func varied(t *testing.T, pairs ...string) string {
	t.Helper()

	text, err := os.ReadFile(extension.ServicePath)
	require.NoError(t, err)

	for old := range slices.Chunk(pairs, 2) {
		require.Contains(t, string(text), old[0], extension.ServicePath)
	}

	changed := strings.NewReplacer(pairs...).Replace(string(text))

	path := filepath.Join(t.TempDir(), "spegel-guard.yaml")
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))

	return path
}

// TestService_RunsWithoutMountSources: Talos creates empty folders for missing mount sources. Without the CRI, machined and
// the content store the guard finds the target by its process, applies the ceiling, and reports what is missing.
func TestService_RunsWithoutMountSources(t *testing.T) {
	n := testNode(t)
	require.NoError(t, node.RemoveSavedState())

	missing := t.TempDir()
	l := &loop{
		node: n, spegel: runPod(t, n, node.SpegelPod("spegel-x7k2p")),
		peer: runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"}),
	}

	s := serve(t, n, varied(t,
		"source: /run/containerd\n", "source: "+missing+"/containerd\n",
		"source: /system/run/machined\n", "source: "+missing+"/machined\n",
		"source: /var\n", "source: "+missing+"/var\n",
	), fast+overSocket)
	s.waitState(t, resources.StateOK)

	l.runAway(t, l.spegel, l.peer)
	require.Eventually(t, func() bool { return cpuMax(t, l.spegel) == ceiling500 }, patience, 100*time.Millisecond, "%s", s.Log)
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "cpu.max of the bystander")

	condition, err := safe.StateGetByID[*resources.Condition](t.Context(), s.st, resources.ConditionDiscovery)
	require.NoError(t, err)
	assert.Equal(t, resources.ReasonCRI, condition.TypedSpec().Reason)

	s.stops(t)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
}

// TestService_RunsInCgroupNamespace runs the guard in its own cgroup namespace, as other runtimes do by default and Talos
// does not. Paths of other cgroups then begin with "/..", and nsdelegate applies.
func TestService_RunsInCgroupNamespace(t *testing.T) {
	n := testNode(t)
	require.NoError(t, node.RemoveSavedState())

	l := &loop{
		node: n, spegel: runPod(t, n, node.SpegelPod("spegel-x7k2p")),
		peer: runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"}),
	}

	s := serveWith(t, n, extension.ServicePath, []string{fast + overSocket}, node.WithCgroupNamespace())
	s.waitState(t, resources.StateOK)

	guard, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/cgroup", s.PID()))
	require.NoError(t, err)

	host, err := os.Readlink("/proc/1/ns/cgroup")
	require.NoError(t, err)
	require.NotEqual(t, host, guard)

	l.runAway(t, l.spegel, l.peer)
	require.Eventually(t, func() bool { return cpuMax(t, l.spegel) == ceiling500 }, patience, 100*time.Millisecond, "%s", s.Log)
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "cpu.max of the bystander")

	s.stops(t)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
}

// TestService_RunsWithReadOnlyMounts: nothing can be written, not even the unix socket. The guard observes, reports the
// error in its log, and stops on request.
func TestService_RunsWithReadOnlyMounts(t *testing.T) {
	n := testNode(t)
	require.NoError(t, node.RemoveSavedState())

	l := &loop{
		node: n, spegel: runPod(t, n, node.SpegelPod("spegel-x7k2p")),
		peer: runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"}),
	}

	s := serve(t, n, varied(t, "[bind, rw]", "[bind, ro]"), fast+overSocket)
	l.runAway(t, l.spegel, l.peer)

	waitLogged(t, s.Log, "read-only file system: only observing")
	waitLogged(t, s.Log, "ceiling requested")
	time.Sleep(2 * time.Second)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	noJournals(t)

	s.stops(t)
}
