// SPDX-License-Identifier: MPL-2.0

package compare_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/test/incident"
)

type figures = map[compare.Metric]float64

const perMinute = 1.0 / 60

// table has the incident's three nodes.
func table() []compare.Node {
	var nodes []compare.Node

	for _, f := range incident.Table() {
		nodes = append(nodes, compare.Node{Name: f.Name, Figures: figures{
			compare.CPU: f.CPU, compare.TX: f.TX, compare.Alloc: f.Allocation, compare.GC: f.GC,
			compare.Blobs: f.Blobs, compare.Disk: f.Disk, compare.Pods: f.Pods, compare.NodeTX: f.NodeTX, compare.NFS: f.NFS,
		}})
	}

	return nodes
}

func roles(report compare.Report) map[string]compare.Role {
	found := map[string]compare.Role{}

	for _, node := range report.Nodes {
		found[node.Name] = node.Role
	}

	return found
}

func TestCompare_NamesTheCulpritOfTheIncident(t *testing.T) {
	report := compare.Compare(table(), compare.Limits{})

	assert.Equal(t, map[string]compare.Role{
		"talos-prod-1": compare.Affected, "talos-prod-2": compare.Culprit, "talos-prod-3": compare.Affected,
	}, roles(report))
	assert.Equal(t, "talos-prod-2 is the culprit, compared with the median of the others: CPU 6.8x (1800m, the others' 265m); TX 1.8x (1.4 MB/s, the others' 800 kB/s); "+
		"allocation 26.3x (9.6 GB/min, the others' 365 MB/min); GC 6.6x (9.5, the others' 1.4); blobs 1.3x (1053, the others' 794); "+
		"/var 74 % full, the others' 56 %; 2 peers are affected", report.Verdict)
	assert.Equal(t, report.Verdict, report.Nodes[1].Diagnosis)

	usage, err := os.ReadFile("../../docs/usage.md")
	require.NoError(t, err)
	assert.Contains(t, strings.Join(strings.Fields(string(usage)), " "), "`"+report.Verdict+"`", "docs/usage.md shows the verdict")

	assert.InDelta(t, 6.8, report.Nodes[1].Cells[compare.CPU].Ratio, 0.05)
	assert.False(t, report.Nodes[1].Cells[compare.NFS].Odd, "all alike")
}

// TestCompare_BlobsStandForKeys: not every version of spegel exports the keys that it advertises.
func TestCompare_BlobsStandForKeys(t *testing.T) {
	with := table()
	for i, keys := range []float64{860, 1190, 812} {
		with[i].Figures[compare.Keys] = keys
	}

	report := compare.Compare(with, compare.Limits{})
	assert.Contains(t, report.Verdict, "advertised keys 1.4x (1190, the others' 836)")
	assert.NotContains(t, report.Verdict, "blobs")

	delete(with[1].Figures, compare.Keys)

	report = compare.Compare(with, compare.Limits{})
	assert.Contains(t, report.Verdict, "blobs 1.3x (1053, the others' 794)")
	assert.NotContains(t, report.Verdict, "keys")
}

// TestCompare_NamesTheCulpritOfTraces are the averages of the recordings of the real program (test/incident).
func TestCompare_NamesTheCulpritOfTraces(t *testing.T) {
	node := func(name string, cpu, tx, alloc, gc float64) compare.Node {
		return compare.Node{Name: name, Figures: figures{compare.CPU: cpu, compare.TX: tx, compare.Alloc: alloc * perMinute, compare.GC: gc * perMinute}}
	}

	spinning := []compare.Node{node("node1", 0.3412, 265.6e3, 328.2e6, 85.9), node("node2", 0.9084, 471.07e3, 3800.9e6, 558.6), node("node3", 0.3421, 265.6e3, 328.2e6, 83.4)}

	assert.Equal(t, map[string]compare.Role{"node1": compare.Affected, "node2": compare.Culprit, "node3": compare.Affected},
		roles(compare.Compare(spinning, compare.Limits{})))

	// Two of them: each is compared with the other alone.
	assert.Equal(t, map[string]compare.Role{"node1": compare.Affected, "node2": compare.Culprit},
		roles(compare.Compare(spinning[:2], compare.Limits{})))

	healthy := []compare.Node{node("node1", 0.026, 900, 40e6, 3), node("node2", 0.004, 100, 3e6, 1), node("node3", 0.004, 120, 3e6, 1)}
	assert.Equal(t, "no node stands out among 3", compare.Compare(healthy, compare.Limits{}).Verdict)
}

func TestCompare_DecidesByCPUWithoutAllocation(t *testing.T) {
	nodes := table()

	for _, node := range nodes {
		delete(node.Figures, compare.Alloc)
	}

	assert.Equal(t, compare.Culprit, compare.Compare(nodes, compare.Limits{}).Nodes[1].Role)

	// High, but below the limit, and without allocation an affected node looks the same.
	nodes[1].Figures[compare.CPU] = 0.39
	assert.Equal(t, compare.Normal, compare.Compare(nodes, compare.Limits{}).Nodes[1].Role)
}

func TestCompare_NamesNobodyAmongEqualNodes(t *testing.T) {
	nodes := table()

	for i := range nodes {
		nodes[i].Figures = table()[1].Figures
	}

	assert.Equal(t, "no node stands out, but 3 of 3 are above 400m: look for a common cause, such as a new release or an image that all nodes pull",
		compare.Compare(nodes, compare.Limits{}).Verdict)
}

// TestCompare_CanBeEncoded: a median close to 0 has no finite ratio, which JSON cannot write.
func TestCompare_CanBeEncoded(t *testing.T) {
	report := compare.Compare([]compare.Node{
		{Name: "a", Figures: map[compare.Metric]float64{compare.CPU: 1000}},
		{Name: "b", Figures: map[compare.Metric]float64{compare.CPU: 1e-320}},
		{Name: "c", Figures: map[compare.Metric]float64{compare.CPU: 0}},
	}, compare.Limits{})

	_, err := json.Marshal(report)
	assert.NoError(t, err)
}

func TestCompare_NeedsTwoNodes(t *testing.T) {
	assert.Equal(t, "0 of 0 nodes have figures: at least 2 are needed to compare", compare.Compare(nil, compare.Limits{}).Verdict)
	assert.Equal(t, "1 of 1 nodes have figures: at least 2 are needed to compare", compare.Compare(table()[1:2], compare.Limits{}).Verdict)
}

// healthy is a fleet that does its daily work: nodes of all sizes, and among them some that start pods, pull
// images or serve layers to others, which costs processor time and traffic, and allocates little.
func healthy(r *rand.Rand) []compare.Node {
	nodes := make([]compare.Node, 2+r.IntN(60))
	around := func(value, spread float64) float64 { return value * max(0.05, 1+spread*r.NormFloat64()) }
	base := around(0.012, 0.5)

	for i := range nodes {
		f := figures{
			compare.CPU: around(base, 0.6), compare.TX: around(600, 0.8), compare.Alloc: around(8e6, 0.8) * perMinute, compare.GC: around(0.03, 0.5),
			compare.Blobs: around(800, 0.25), compare.Disk: min(0.95, around(0.5, 0.3)), compare.Pods: around(30, 0.5),
			compare.NodeTX: around(2e6, 1), compare.NFS: around(1e6, 1.5), compare.NFSRTT: around(0.002, 1),
		}

		switch r.IntN(8) {
		case 0: // serves layers
			f[compare.CPU], f[compare.TX], f[compare.Alloc] = around(0.3, 0.3), around(40e6, 0.5), around(120e6, 0.4)*perMinute
		case 1: // pulls, and advertises what is new
			f[compare.CPU], f[compare.TX], f[compare.Alloc] = around(0.15, 0.4), around(80e3, 0.5), around(180e6, 0.4)*perMinute
		case 2:
			delete(f, compare.Alloc)
		}

		nodes[i] = compare.Node{Name: string(rune('A'+i/26)) + string(rune('a'+i%26)), Figures: f}
	}

	return nodes
}

// TestCompare_NamesNobodyInHealthyFleets prints how often a random one does, and how often a culprit among them is found.
func TestCompare_NamesNobodyInHealthyFleets(t *testing.T) {
	const fleets = 5000

	r := rand.New(rand.NewPCG(1, 2)) // the same fleets every time
	alarms, nodes, found, wrong := 0, 0, 0, 0

	for range fleets {
		fleet := healthy(r)
		nodes += len(fleet)

		for _, node := range compare.Compare(fleet, compare.Limits{}).Nodes {
			if node.Role == compare.Culprit {
				alarms++
			}
		}

		// The same fleet with a runaway of the traces' size or worse, and some affected nodes.
		culprit := r.IntN(len(fleet))
		for i := range fleet {
			if f := fleet[i].Figures; i == culprit {
				size := 1 + r.Float64()
				f[compare.CPU], f[compare.TX], f[compare.Alloc] = 0.9*size, 470e3*size, 3.8e9*size*perMinute
			} else if r.IntN(2) == 0 {
				f[compare.CPU], f[compare.TX], f[compare.Alloc] = 0.34*(0.9+0.2*r.Float64()), 265e3, 328e6*(0.9+0.2*r.Float64())*perMinute
			}
		}

		for i, node := range compare.Compare(fleet, compare.Limits{}).Nodes {
			if named := node.Role == compare.Culprit; named && i == culprit {
				found++
			} else if named {
				wrong++
			}
		}
	}

	t.Logf("%d healthy fleets of 2 to 61 nodes: false alarms on %d of %d nodes, rate %.5f %%; with one runaway each: %d of %d found, %d innocent named",
		fleets, alarms, nodes, 100*float64(alarms)/float64(nodes), found, fleets, wrong)

	require.Zero(t, alarms)
	require.Zero(t, wrong)
	require.Greater(t, float64(found)/fleets, 0.999)
}

// TestCompare_LeavesOutImpossibleFigures: a node decides what it sends, and the report is JSON, which has no infinite numbers.
func TestCompare_LeavesOutImpossibleFigures(t *testing.T) {
	for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64} {
		t.Run(fmt.Sprint(value), func(t *testing.T) {
			nodes := table()
			nodes[0].Figures[compare.CPU] = value

			report := compare.Compare(nodes, compare.Limits{})
			assert.NotContains(t, report.Nodes[0].Cells, compare.CPU)

			_, err := json.Marshal(report)
			require.NoError(t, err)
		})
	}
}
