// SPDX-License-Identifier: MPL-2.0

package gometrics_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/test/hostile"
)

const answer = `# HELP go_gc_duration_seconds A summary of the wall-time pause (stop-the-world) duration in garbage collection cycles.
# TYPE go_gc_duration_seconds summary
go_gc_duration_seconds{quantile="0"} 2.1e-05
go_gc_duration_seconds_sum 0.5
go_gc_duration_seconds_count 1234
# TYPE go_goroutines gauge
go_goroutines 87
# TYPE go_memstats_alloc_bytes gauge
go_memstats_alloc_bytes 1.5e+07
# TYPE go_memstats_alloc_bytes_total counter
go_memstats_alloc_bytes_total 4.8e+10
go_memstats_heap_alloc_bytes 1.6e+07
spegel_advertised_images{registry="docker.io"} 20
spegel_advertised_images{registry="ghcr.io"} 22
spegel_advertised_keys{registry="docker.io"} 1053 1700000000000
spegel_mirror_requests_total{registry="docker.io",cache="hit",source="internal"} 5
spegel_mirror_requests_total{registry="docker.io",cache="miss",source="external"} 7
`

func TestParse(t *testing.T) {
	metrics, err := gometrics.Parse(strings.NewReader(answer))
	require.NoError(t, err)

	missing := func(name string) gometrics.Value {
		return gometrics.Value{Unavailable: "the target exports no " + name}
	}

	assert.Equal(t, gometrics.Metrics{
		AllocBytes:        gometrics.Value{Number: 4.8e10},
		HeapBytes:         gometrics.Value{Number: 1.6e7},
		GCCycles:          gometrics.Value{Number: 1234},
		Goroutines:        gometrics.Value{Number: 87},
		AdvertisedImages:  gometrics.Value{Number: 42},
		AdvertisedTags:    missing("spegel_advertised_image_tags"),
		AdvertisedDigests: missing("spegel_advertised_image_digests"),
		AdvertisedKeys:    gometrics.Value{Number: 1053},

		AdvertisedContentDigests: missing("spegel_advertised_content_digests"),
		MirrorLastSuccess:        missing("spegel_mirror_last_success_timestamp_seconds"),
		ResolveSeconds:           missing("spegel_resolve_duration_seconds_sum"),
		Resolves:                 missing("spegel_resolve_duration_seconds_count"),
		MirrorRequests:           gometrics.Value{Number: 12},
		MirrorHits:               gometrics.Value{Number: 5},
	}, metrics)
}

func TestParse_RefusesOtherFormats(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		want error
	}{
		"a web page":       {"<html><body>go_goroutines 5</body></html>\n", gometrics.ErrNoMetrics},
		"nothing":          {"", gometrics.ErrNoMetrics},
		"no number":        {"go_goroutines many\n", gometrics.ErrNoMetrics},
		"an endless line":  {"go_goroutines 5\n# " + strings.Repeat("x", gometrics.MaxLine), gometrics.ErrLongLine},
		"a huge body":      {strings.Repeat("x 1\n", gometrics.MaxBody/4+1), gometrics.ErrTooLarge},
		"too many series":  {strings.Repeat("go_goroutines 5\n", gometrics.MaxSeries+1), gometrics.ErrTooMany},
		"broken labels":    {`spegel_advertised_keys{registry="a" 5` + "\n", gometrics.ErrNoMetrics},
		"a name and bytes": {"go_goroutines \xff\n", gometrics.ErrNoMetrics},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := gometrics.Parse(strings.NewReader(test.body))
			assert.ErrorIs(t, err, test.want)
		})
	}
}

func TestParse_BadValueIsUnavailable(t *testing.T) {
	for bad, reason := range map[string]string{
		"go_memstats_alloc_bytes_total NaN":                                "go_memstats_alloc_bytes_total is NaN",
		"go_memstats_alloc_bytes_total +Inf":                               "go_memstats_alloc_bytes_total is +Inf",
		"go_memstats_alloc_bytes_total 1e306":                              "go_memstats_alloc_bytes_total is 1e+306",
		"go_memstats_alloc_bytes_total -5":                                 "go_memstats_alloc_bytes_total is -5",
		"go_memstats_alloc_bytes_total 5\ngo_memstats_alloc_bytes_total 6": "there are 2 series of go_memstats_alloc_bytes_total",
		"": "the target exports no go_memstats_alloc_bytes_total",
	} {
		t.Run(reason, func(t *testing.T) {
			metrics, err := gometrics.Parse(strings.NewReader(bad + "\ngo_goroutines 87\n"))
			require.NoError(t, err)
			assert.Equal(t, reason, metrics.AllocBytes.Unavailable)
			assert.Equal(t, gometrics.Value{Number: 87}, metrics.Goroutines)
		})
	}
}

// TestClient_HostileAnswers: a bad answer becomes an error or an unavailable value, in bounded time and memory.
func TestClient_HostileAnswers(t *testing.T) {
	for _, mode := range hostile.Modes() {
		if mode == hostile.CounterReset {
			continue // each of its answers is good: see service/internal/observe
		}

		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := gometrics.NewClient(hostile.Dial(hostile.Handler(mode)), 80)
				defer client.Close()

				var before, after runtime.MemStats

				began := time.Now()

				runtime.ReadMemStats(&before)

				metrics, err := client.Metrics(t.Context(), "/metrics", nil)

				runtime.ReadMemStats(&after)

				if err == nil {
					assert.NotEmpty(t, metrics.AllocBytes.Unavailable)
				} else {
					assert.Less(t, len(err.Error()), 300, "the error does not repeat the answer at length")
				}

				assert.LessOrEqual(t, time.Since(began), gometrics.Timeout)
				assert.Less(t, after.HeapAlloc, before.HeapAlloc+(64<<20), "memory does not depend on the size of the answer")
			})
		})
	}
}

func TestClient_RefusedAndRedirected(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	client := clientOf(t, server)

	_, err := client.Metrics(t.Context(), "/metrics", nil)
	assert.EqualError(t, err, "failed to read /metrics: the answer's status is 302")

	server.Close()
	client.Close()

	_, err = client.Metrics(t.Context(), "/metrics", nil)
	assert.ErrorContains(t, err, "connection refused")
}

func TestClient_Save(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, answer)
	}))
	defer server.Close()

	client := clientOf(t, server)

	var saved strings.Builder

	require.NoError(t, client.Save(t.Context(), "/metrics", &saved, int64(len(answer))))
	assert.Equal(t, answer, saved.String())

	err := client.Save(t.Context(), "/metrics", io.Discard, int64(len(answer))-1)
	assert.EqualError(t, err, fmt.Sprintf("failed to read /metrics: the answer is larger than %d bytes", len(answer)-1))
}

func clientOf(t *testing.T, server *httptest.Server) *gometrics.Client {
	t.Helper()

	_, text, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)

	port, err := strconv.Atoi(text)
	require.NoError(t, err)

	client := gometrics.NewClient((&net.Dialer{}).DialContext, port)
	t.Cleanup(client.Close)

	return client
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(answer))
	f.Add([]byte("go_goroutines{a=\"b\"} 5\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		metrics, err := gometrics.Parse(strings.NewReader(string(body)))
		if err != nil {
			return
		}

		if v := metrics.AllocBytes; v.Unavailable == "" && !(v.Number >= 0) {
			t.Error("not a value:", v)
		}
	})
}

func TestParse_AcceptsBlanksAroundSamples(t *testing.T) {
	metrics, err := gometrics.Parse(strings.NewReader("  go_goroutines 87 \t\n\tgo_memstats_alloc_bytes_total 5 \n"))
	require.NoError(t, err)
	assert.Equal(t, gometrics.Value{Number: 87}, metrics.Goroutines)
	assert.Equal(t, gometrics.Value{Number: 5}, metrics.AllocBytes)
}

// TestParse_BoundsSeries: 4 MB of legal series with thousands of labels each must not cost more than an ordinary answer.
func TestParse_BoundsSeries(t *testing.T) {
	labels := func(count int) string {
		pairs := make([]string, count)
		for i := range pairs {
			pairs[i] = fmt.Sprintf("a%d=\"\"", i)
		}

		return "spegel_mirror_requests_total{" + strings.Join(pairs, ",") + "} 1\n"
	}

	for name, test := range map[string]struct {
		body string
		want error
	}{
		"labels":           {strings.Repeat(labels(1500), 250), gometrics.ErrLabels},
		"as many as legal": {strings.Repeat(labels(gometrics.MaxLabels), gometrics.MaxSeries), nil},
		"one label more":   {labels(gometrics.MaxLabels + 1), gometrics.ErrLabels},
		"one series more":  {strings.Repeat("go_goroutines 1\n", gometrics.MaxSeries+1), gometrics.ErrTooMany},
		"long value":       {`spegel_mirror_requests_total{a="` + strings.Repeat("x", 1000) + "\"} 1\n", gometrics.ErrLabels},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats

			runtime.ReadMemStats(&before)

			_, err := gometrics.Parse(strings.NewReader(test.body))

			runtime.ReadMemStats(&after)
			assert.ErrorIs(t, err, test.want)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
		})
	}
}
