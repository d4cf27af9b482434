// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestScraper_KeepsTheNewestCompleteAnswer: the answers of a target, one each 10 s, and what is kept after the last of them.
func TestScraper_KeepsTheNewestCompleteAnswer(t *testing.T) {
	const first, second = "go_goroutines 1\n", "# a comment\ngo_goroutines 2\n"

	for name, test := range map[string]struct {
		answers []string
		want    string
		why     string
	}{
		"none yet":           {why: "the target has not answered yet"},
		"one":                {answers: []string{first}, want: first},
		"two":                {answers: []string{first, second}, want: second},
		"the last one fails": {answers: []string{first, ""}, want: first},
		"no metrics":         {answers: []string{first, "<html>\n"}, want: first},
		"largest": {
			answers: []string{first + strings.Repeat("#\n", (MaxAnswer-len(first))/2)}, want: first + strings.Repeat("#\n", (MaxAnswer-len(first))/2),
		},
		"too large": {
			answers: []string{first, first + strings.Repeat("#\n", MaxAnswer/2)}, why: "the target's answer is larger than 262144 bytes",
		},
		"after one that was too large": {answers: []string{first + strings.Repeat("#\n", MaxAnswer/2), second}, want: second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := 0
				handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/plain; version=0.0.4")

					if next >= len(test.answers) || test.answers[next] == "" {
						w.WriteHeader(http.StatusInternalServerError)
					} else {
						io.WriteString(w, test.answers[next])
					}

					next++
				})

				s := startScraper(&sharedNamespace{Namespace: served{"9090": handler}}, config.Metrics{
					Port: config.Port{Number: 9090}, Path: "/metrics", Interval: config.Duration{Duration: 10 * time.Second},
				}, nil)

				time.Sleep(time.Duration(10*len(test.answers)-5) * time.Second)
				synctest.Wait()

				got := s.lastAnswer()
				assert.Equal(t, test.want, string(got.Text))
				assert.Equal(t, test.why, got.Unavailable)

				if test.want != "" {
					assert.Positive(t, got.Clock)
					assert.LessOrEqual(t, got.Clock, boottime.Now())
				}

				s.stop()
				synctest.Wait()
			})
		})
	}
}

// TestFeed_AnswerIsOfTheContainer: the answer of a container is no evidence of the next one.
func TestFeed_AnswerIsOfTheContainer(t *testing.T) {
	feed := NewFeed()
	answer := Answer{Clock: 1, Text: []byte("a")}
	feed.Put("id", &resources.TargetStatsSpec{ContainerID: "c1"}, answer)

	assert.Equal(t, answer, feed.Answer("id", "c1"))
	assert.Equal(t, noAnswer, feed.Answer("id", "c2"))
	assert.Equal(t, noAnswer, feed.Answer("other", "c1"))

	feed.Put("id", &resources.TargetStatsSpec{ContainerID: "c2"}, noAnswer)
	assert.Equal(t, noAnswer, feed.Answer("id", "c2"))
	assert.Equal(t, noAnswer, feed.Answer("id", "c1"))

	feed.Put("id", &resources.TargetStatsSpec{ContainerID: "c2"}, answer)
	feed.Remove("id")
	assert.Equal(t, noAnswer, feed.Answer("id", "c2"))
}

// TestSampler_SaysWhyThereIsNoAnswer: a target that is not asked cannot answer.
func TestSampler_SaysWhyThereIsNoAnswer(t *testing.T) {
	metrics := config.Metrics{Port: config.Port{Number: 9090}}

	for want, s := range map[string]Sampler{
		"target.metrics.port is 0":                          {scraper: &scraper{answer: noAnswer}},
		"failed to open the network namespace of process 1": {metrics: metrics, networkError: "failed to open the network namespace of process 1"},
		"the target has not answered yet":                   {metrics: metrics, scraper: &scraper{answer: noAnswer}},
	} {
		t.Run(want, func(t *testing.T) { assert.Equal(t, Answer{Unavailable: want}, s.Answer()) })
	}

	assert.Equal(t, noAnswer, (&Sampler{metrics: metrics}).Answer(), "before the first sample")
}
