// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/test/contract"
	"github.com/spegel-guard/spegel-guard/test/talos"
)

// overTalosctl reads a node through Talos' own API.
type overTalosctl struct{ node *talos.Node }

func (o overTalosctl) Read(t *testing.T, name string) string {
	t.Helper()

	return talosctl(t, o.node, "read", name)
}

func (o overTalosctl) Namespaces(t *testing.T, pid int) map[string]string {
	t.Helper()

	links := map[string]string{}

	for line := range strings.Lines(talosctl(t, o.node, "ls", "-l", fmt.Sprintf("/proc/%d/ns", pid))) {
		if before, link, found := strings.Cut(strings.TrimSpace(line), " -> "); found {
			links[before[strings.LastIndex(before, " ")+1:]] = link
		}
	}

	return links
}

// container: the service has the namespaces, limits and mounts that test/node gives it.
func (s *scenario) container(t *testing.T) {
	started := regexp.MustCompile(`\(PID (\d+)$`).FindStringSubmatch(guardService(t, s.node).process())
	require.NotNil(t, started)

	pid, err := strconv.Atoi(started[1])
	require.NoError(t, err)

	data, err := os.ReadFile("../../extension/spegel-guard.yaml")
	require.NoError(t, err)

	var spec services.Spec

	require.NoError(t, yaml.Load(data, &spec, yaml.WithKnownFields()))

	contract.Check(t, overTalosctl{s.node}, pid, spec.Container.Mounts)
}
