// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// serve runs the service from a service file with its documents. A document that is not given is not mounted.
func serve(t *testing.T, n *node.Node, serviceFile string, documents ...string) *service {
	t.Helper()

	return serveWith(t, n, serviceFile, documents)
}

// serveWith is serve with more options for the container.
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

// stops ends the service as machined does: one that Talos has to kill after ten seconds has another exit code.
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
	}, patience, 100*time.Millisecond, "wanted %s, last %s\n%s", want, &last, s.Log)
}

func (s *service) config(t *testing.T) resources.GuardConfigSpec {
	t.Helper()

	active, err := safe.StateGetByID[*resources.GuardConfig](t.Context(), s.st, resources.GuardConfigID)
	require.NoError(t, err)

	return *active.TypedSpec()
}

// overSocket has no API on TCP: these tests are about the service.
const overSocket = "\napi: {tls: {source: none}}\n"

// TestNoDocumentAtAll: the service starts with the defaults, guards, and stops. Its certificates would come from
// machined, which is not there: that keeps TCP closed, and nothing else from working.
func TestNoDocumentAtAll(t *testing.T) {
	n := theTestNode(t)
	require.NoError(t, node.ForgetDecisions())
	runPod(t, n, node.SpegelPod("spegel-x7k2p"))

	s := serve(t, n, extension.ServicePath)
	s.waitState(t, resources.StateOK)

	cfg := s.config(t)
	assert.Equal(t, "defaults", cfg.Source)
	assert.Equal(t, "enforce", cfg.Mode)

	s.stops(t)
}

// TestTheFirstDocumentArrivesLate: Talos mounts files when it makes the container, and does not restart a
// running service for its first document; so it is taken with the next start, and until then it is said that the
// defaults are in force.
func TestTheFirstDocumentArrivesLate(t *testing.T) {
	n := theTestNode(t)
	require.NoError(t, node.ForgetDecisions())
	runPod(t, n, node.SpegelPod("spegel-x7k2p"))

	s := serve(t, n, extension.ServicePath)
	s.waitState(t, resources.StateOK)

	// What Talos writes then.
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

// TestADocumentChangesUnderACeiling: SIGTERM, and a start with the new document: the ceiling goes and comes back
// as the new one says, since the hold is remembered.
func TestADocumentChangesUnderACeiling(t *testing.T) {
	l := newLoop(t, longHold, nil)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, capped, patience)

	since := heldSince(t, l)

	code, _, err := l.guard.Stop(t.Context())
	require.NoError(t, err)
	assert.Zero(t, code)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))

	l.start(t, strings.Replace(longHold, "cpu: 500m", "cpu: 300m", 1))
	waitCPUMax(t, l, l.spegel, "30001 100000", patience)
	assert.Equal(t, since, heldSince(t, l), "the remembered hold")

	assert.Equal(t, unlimited, cpuMax(t, l.peer), "nobody else's")
}

// diagnoses waits until the last line of the log, which Talos shows, contains a text. The service runs meanwhile.
func (s *service) diagnoses(t *testing.T, want string) {
	t.Helper()

	require.Eventually(t, func() bool {
		lines := strings.Split(strings.TrimSpace(s.Log.String()), "\n")

		return strings.Contains(lines[len(lines)-1], want)
	}, patience, 100*time.Millisecond, "wanted %s\n%s", want, s.Log)
}

// TestABrokenDocumentHarmsNobody: started again and again as Talos does at each change, the service says what is wrong
// in its last line each time, and leaves nothing on the target; with a good document it guards.
func TestABrokenDocumentHarmsNobody(t *testing.T) {
	n := theTestNode(t)
	require.NoError(t, node.ForgetDecisions())
	pod := runPod(t, n, node.SpegelPod("spegel-x7k2p"))

	for range 3 {
		s := serve(t, n, extension.ServicePath, "mode: kill")
		s.diagnoses(t, `line 1: invalid mode \"kill\": must be observe or enforce`)
		s.stops(t)

		assert.Equal(t, unlimited, cpuMax(t, pod))
		noJournals(t)
	}

	s := serve(t, n, extension.ServicePath, fast+overSocket)
	s.waitState(t, resources.StateOK)
	s.stops(t)
}

// varied is the service file with some of its text replaced.
func varied(t *testing.T, pairs ...string) string {
	t.Helper()

	text, err := os.ReadFile(extension.ServicePath)
	require.NoError(t, err)

	changed := strings.NewReplacer(pairs...).Replace(string(text))
	require.NotEqual(t, string(text), changed)

	path := filepath.Join(t.TempDir(), "spegel-guard.yaml")
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))

	return path
}

// TestMissingMountSources: Talos makes empty folders in the place of what is not there. Without the CRI, machined
// and the content store the guard finds the target by its process, closes the loop, and says what it misses.
func TestMissingMountSources(t *testing.T) {
	n := theTestNode(t)
	require.NoError(t, node.ForgetDecisions())

	missing := t.TempDir()
	l := &loop{
		node: n, spegel: runPod(t, n, node.SpegelPod("spegel-x7k2p")),
		peer: runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"}),
	}

	s := serve(t, n, varied(t,
		"source: /run/containerd\n", "source: "+missing+"/containerd\n",
		"source: /system/run/machined\n", "source: "+missing+"/machined\n",
		"source: /var/lib/containerd/io.containerd.content.v1.content\n", "source: "+missing+"/content\n",
	), fast+overSocket)
	s.waitState(t, resources.StateOK)

	l.runAway(t, l.spegel, l.peer)
	require.Eventually(t, func() bool { return cpuMax(t, l.spegel) == capped }, patience, 100*time.Millisecond, "%s", s.Log)
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "nobody else's")

	condition, err := safe.StateGetByID[*resources.Condition](t.Context(), s.st, resources.ConditionDiscovery)
	require.NoError(t, err)
	assert.Equal(t, resources.ReasonCRI, condition.TypedSpec().Reason)

	s.stops(t)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
}

// TestACgroupNamespace closes the loop with the guard in a cgroup namespace of its own. Talos gives it none, other
// runtimes do by default: every other cgroup's path then begins with "/..", and nsdelegate applies.
func TestACgroupNamespace(t *testing.T) {
	n := theTestNode(t)
	require.NoError(t, node.ForgetDecisions())

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
	require.Eventually(t, func() bool { return cpuMax(t, l.spegel) == capped }, patience, 100*time.Millisecond, "%s", s.Log)
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "nobody else's")

	s.stops(t)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
}

// TestReadOnlyEverything: nothing can be written, not even its own socket: it goes on observing, says so in its
// log, and stops.
func TestReadOnlyEverything(t *testing.T) {
	n := theTestNode(t)
	require.NoError(t, node.ForgetDecisions())

	l := &loop{
		node: n, spegel: runPod(t, n, node.SpegelPod("spegel-x7k2p")),
		peer: runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"}),
	}

	s := serve(t, n, varied(t, "[bind, rw]", "[bind, ro]"), fast+overSocket)
	l.runAway(t, l.spegel, l.peer)

	require.Eventually(t, func() bool { return strings.Contains(s.Log.String(), "only observing") }, patience, 100*time.Millisecond, "%s", s.Log)
	assert.Contains(t, s.Log.String(), "read-only file system")
	time.Sleep(3 * time.Second)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	noJournals(t)

	s.stops(t)
}
