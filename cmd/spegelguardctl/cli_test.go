// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
	"github.com/spegel-guard/spegel-guard/test/golden"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// cluster is the incident's three nodes, and a talosconfig for them.
type cluster struct {
	talosconfig string
	pki         *pki.PKI
	addresses   map[string]string
	guards      []*fleettest.Guard
	// now is the clock of the command; nil for fleettest.Now.
	now func() time.Time
	// pace of the command; the zero pace is the usual one.
	pace pace
}

// newCluster serves the incident until the test ends. Its nodes are known by their names.
func newCluster(t testing.TB, roles ...role.Role) *cluster {
	t.Helper()

	return newClusterOf(t, fleettest.NewWith, roles...)
}

// newClusterOf is like newCluster with a function that makes the guards.
func newClusterOf(t testing.TB, guardOf func(context.Context, fleettest.Figures, string, int) (*fleettest.Guard, error), roles ...role.Role) *cluster {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	port, err := fleettest.FreePort()
	require.NoError(t, err)

	c := &cluster{pki: authority, addresses: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	hosts := fleettest.Addresses(3)

	var names []string

	for i, figures := range fleettest.IncidentFigures() {
		guard, err := guardOf(ctx, figures, hosts[i], port)
		require.NoError(t, err)

		guard.Forward = i == 1
		c.guards = append(c.guards, guard)
		c.addresses[figures.Name] = guard.Address
		names = append(names, figures.Name)
	}

	wait, err := fleettest.Serve(ctx, authority, c.guards...)
	require.NoError(t, err)

	t.Cleanup(func() {
		cancel()
		require.NoError(t, wait())
	})

	if len(roles) == 0 {
		roles = []role.Role{role.Admin}
	}

	c.talosconfig = c.config(t, names, roles...)

	return c
}

func (c *cluster) config(t testing.TB, nodes []string, roles ...role.Role) string {
	t.Helper()

	pair, err := c.pki.Client("anna", 365*24*time.Hour, roles...)
	require.NoError(t, err)

	current := pki.Context(pair, "127.0.0.1:50000", c.pki)
	current.Nodes = nodes

	other := *current
	other.Nodes = []string{"talos-prod-3"}

	path := filepath.Join(t.TempDir(), "talosconfig")
	config := clientconfig.Config{Context: "prod", Contexts: map[string]*clientconfig.Context{"prod": current, "other": &other}}
	require.NoError(t, config.Save(path))

	return path
}

// open finds the nodes by their names, as DNS would.
func (c *cluster) open(options client.Options) (*client.Fleet, error) {
	options.DialOptions = append(options.DialOptions, fleettest.Patience(), grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		name, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}

		if found, ok := c.addresses[name]; ok {
			address = found
		}

		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}))

	return client.Open(options)
}

// buffer is written by one and read by another.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.text.String()
}

// ran is what a command printed, and its exit code.
type ran struct {
	stdout, stderr string
	code           int
}

// run runs a command line.
func (c *cluster) run(args ...string) ran {
	var stdout, stderr buffer

	err := c.start(context.Background(), &stdout, &stderr, args...)
	if err != nil && err.Error() != "" {
		stderr.Write([]byte("spegelguardctl: " + err.Error() + "\n"))
	}

	return ran{stdout: stdout.String(), stderr: stderr.String(), code: exitCode(err)}
}

func (c *cluster) start(ctx context.Context, stdout, stderr *buffer, args ...string) error {
	a := newApp()
	a.stdout, a.stderr, a.open = stdout, stderr, c.open
	a.now = func() time.Time { return fleettest.Now }

	if c.pace != (pace{}) {
		a.pace = c.pace
	}

	if c.now != nil {
		a.now = c.now
	}

	root := a.root()
	// A busy machine answers late.
	root.SetArgs(append([]string{"--talosconfig", c.talosconfig, "--timeout", "1m"}, args...))

	return root.ExecuteContext(ctx)
}

// Times that are the machine's own, and other things that differ from run to run.
var scrubs = []struct {
	form *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z`), "<TIME>"},
	{regexp.MustCompile(`\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}`), "<TIME>"},
	{regexp.MustCompile(`"created: .*|created: .*|updated: .*`), "<TIME>"},
	{regexp.MustCompile(`((?:since|until)Clock"?: "?)[0-9hms.]+`), "${1}<CLOCK>"},
	{regexp.MustCompile(`go1\.\d+[.\w]*`), "<GO>"},
	{regexp.MustCompile(`[0-9a-f]{64}`), "<FINGERPRINT>"},
	{regexp.MustCompile(`127\.\d+\.\d+\.\d+:\d+`), "<ADDRESS>"},
	{regexp.MustCompile(`-?(\d+[dhms])+ by`), "<LEFT> by"},
	{regexp.MustCompile(`OVERRIDES +`), "OVERRIDES   "},
}

// sums of many floats differ in the last digits.
var longFloat = regexp.MustCompile(`-?\d+\.\d{6,}`)

func scrubbed(text string) string {
	for _, s := range scrubs {
		text = s.form.ReplaceAllString(text, s.with)
	}

	return longFloat.ReplaceAllStringFunc(text, func(s string) string {
		value, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return s
		}

		if value, err = strconv.ParseFloat(strconv.FormatFloat(value, 'g', 5, 64), 64); err != nil {
			return s
		}

		return strconv.FormatFloat(value, 'f', -1, 64)
	})
}

// compareGolden compares with what is on file.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	golden.Compare(t, filepath.Join("testdata", name+".golden"), got)
}
