// SPDX-License-Identifier: MPL-2.0

package trace_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

func encode(t testing.TB, lines ...trace.Line) string {
	t.Helper()

	var text strings.Builder

	for _, line := range lines {
		data, err := trace.Encode(line)
		require.NoError(t, err)

		text.Write(data)
	}

	return text.String()
}

func header(document string) trace.Line {
	return trace.Line{Header: &trace.Header{Version: trace.Version, Config: document, Seed: 5}}
}

func sample(at time.Duration, cores float64) trace.Line {
	return trace.Line{Sample: &trace.Sample{
		Workload: "a/b/c", Container: "1",
		Sample: policy.Sample{At: at, CPU: policy.Counter{Total: cores}, TX: policy.Counter{Unavailable: "host network"}},
	}}
}

func TestRead_ReturnsEncodedLines(t *testing.T) {
	lines := []trace.Line{header("mode: observe"), sample(time.Second, 1), sample(2*time.Second, 2.5)}

	var read []trace.Line

	for line, err := range trace.Read(strings.NewReader(encode(t, lines...))) {
		require.NoError(t, err)

		read = append(read, line)
	}

	assert.Equal(t, lines, read)
}

func TestReplay_ErrorsNameTheLine(t *testing.T) {
	good := encode(t, header(""))

	for _, test := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"no header", encode(t, sample(0, 0)), "line 1: a trace begins with a header"},
		{"unknown version", `{"header":{"version":9}}` + "\n", "line 1: the trace has another version of the format: version 9 of a newer spegel-guard, this program reads version 1"},
		{"empty object", good + "{}\n", "line 2: a line is either a header or a sample"},
		{"not JSON", good + "nonsense\n" + encode(t, sample(0, 0)), "line 2: invalid character"},
		{"unknown field", good + `{"sample":{"workload":"a","smell":1}}` + "\n", `line 2: json: unknown field "smell"`},
		{"no workload", good + `{"sample":{}}` + "\n", "line 2: sample without a workload"},
		{"two objects", good + `{"sample":{"workload":"a"}} {}` + "\n", "line 2: more than one object"},
		{"too long", good + strings.Repeat("x", 2<<20) + "\n", "line 2: longer than"},
		{"bad configuration", encode(t, header("mode: kill")), `failed to parse the recorded configuration: line 1: invalid mode "kill": must be observe or enforce`},
		{"cut off at the end", good + `{"sample":{"workload":"a","at":12`, ""},
		{"cut off before a header", good + `{"sample":{"workload":"a","at":12` + "\n" + good, ""},
		{"cut off before a sample", good + `{"sample":{"workload":"a","at":12` + "\n" + encode(t, sample(0, 0)) + good, "line 2: unexpected EOF"},
		{"not JSON at the end", good + "nonsense\n\n", "line 2: invalid character"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := trace.Replay(strings.NewReader(test.text), nil, func(trace.Step) {})

			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.want)
			}
		})
	}
}

func TestReplay_KeepsHoldOverNewContainerAndConfiguration(t *testing.T) {
	const document = "rules: [{name: A, signal: cpu, threshold: 400m, for: 2s, window: 2s}]\n"

	lines := []trace.Line{header(document)}

	for i := range 10 {
		lines = append(lines, sample(time.Duration(i)*time.Second, float64(i)))
	}

	restarted := sample(10*time.Second, 0)
	restarted.Sample.Container = "2"
	lines = append(lines, restarted, header(document+"ceiling: {cpu: 200m}\n"), sample(11*time.Second, 0))

	var last trace.Step

	require.NoError(t, trace.Replay(strings.NewReader(encode(t, lines...)), nil, func(s trace.Step) { last = s }))
	assert.True(t, last.Decision.Held)
	assert.Equal(t, int64(200), last.Decision.Hold.Millicores)
	assert.Equal(t, 11*time.Second, last.Elapsed)
}

func FuzzReplay(f *testing.F) {
	for _, name := range []string{"idle", "bursts"} {
		data, err := os.ReadFile("testdata/" + name + ".jsonl")
		require.NoError(f, err)
		f.Add(data[:min(len(data), 4096)])
	}

	f.Add([]byte(encode(f, header("interval: 100ms"), sample(1, 1), sample(2, 1e300), sample(3, 0))))

	f.Fuzz(func(t *testing.T, data []byte) {
		// On any input it must not panic, and its decisions must be within bounds.
		trace.Replay(bytes.NewReader(data), nil, func(s trace.Step) {
			d := s.Decision

			require.False(t, d.ThrottledRatio < 0 || d.ThrottledRatio > 1)

			for _, r := range d.Rules {
				require.GreaterOrEqual(t, r.Value, 0.0)
			}
		})
	})
}
