// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// panicking is a container whose cgroup or namespace panics.
type panicking struct {
	*container

	cgroup, namespace, links bool
}

func (p *panicking) source() Source {
	source := p.container.source()

	return Source{
		Cgroup: func() (CgroupReader, error) {
			if p.cgroup {
				panic("cgroup")
			}

			return source.Cgroup()
		},
		Namespace: func() (Namespace, error) {
			if p.namespace {
				panic("namespace")
			}

			return panickingNamespace{Namespace: containerNamespace{p.container}, links: &p.links}, nil
		},
	}
}

type panickingNamespace struct {
	Namespace

	links *bool
}

func (n panickingNamespace) Links() (LinksReader, error) {
	if *n.links {
		panic("links")
	}

	return n.Namespace.Links()
}

// Dial implements Namespace.
func (panickingNamespace) Dial(context.Context, string, string) (net.Conn, error) { panic("dial") }

// TestSampler_SurvivesPanics: the sample of a panic is unavailable, and the next ones are measured again.
func TestSampler_SurvivesPanics(t *testing.T) {
	for name, set := range map[string]func(*panicking, bool){
		"cgroup":    func(p *panicking, on bool) { p.cgroup = on },
		"namespace": func(p *panicking, on bool) { p.namespace = on },
		"links":     func(p *panicking, on bool) { p.links = on },
	} {
		t.Run(name, func(t *testing.T) {
			p := &panicking{container: &container{}}
			set(p, true)

			s := NewSampler(p.source(), resources.TargetSpec{ContainerID: "c1"}, without)
			defer s.Close()

			s.Sample(time.Second)
			assert.Equal(t, resources.ProvenanceUnavailable, s.Stats().TXBytesPerSecond.Provenance)
			assert.Contains(t, s.Stats().TXBytesPerSecond.Reason, task.ErrPanicked.Error())

			set(p, false)

			for clock := 2 * time.Second; clock <= 4*time.Second; clock += time.Second {
				p.run()
				s.Sample(clock)
			}

			assert.Equal(t, resources.Measured(1.8), s.Stats().CPU)
			assert.Equal(t, resources.Measured(1_400_000), s.Stats().TXBytesPerSecond)
		})
	}
}

// TestScraper_SurvivesAPanicOfItsDial, which net/http calls in a goroutine of its own.
func TestScraper_SurvivesAPanicOfItsDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &panicking{container: &container{}}
		s := NewSampler(p.source(), resources.TargetSpec{ContainerID: "c1"}, config.Metrics{
			Port: config.Port{Number: 5000}, Path: "/metrics", Interval: config.Duration{Duration: time.Second},
		})

		time.Sleep(3 * time.Second)
		s.Sample(time.Second)
		assert.Contains(t, s.Stats().Application.HeapBytes.Reason, task.ErrPanicked.Error())

		s.Close()
		synctest.Wait()
		assert.Equal(t, 3, p.closed, "the cgroup, the links and the namespace")
	})
}

func TestBackground_SurvivesPanics(t *testing.T) {
	panics := true
	b := &background[int]{interval: time.Second, retry: time.Second, read: func() (int, error) {
		if panics {
			panic("read")
		}

		return 5, nil
	}}

	await := func(clock time.Duration, want func(int, error) bool) {
		require.Eventually(t, func() bool { return want(b.latest(clock)) }, time.Minute, time.Millisecond)
	}

	await(time.Second, func(_ int, err error) bool { return errors.Is(err, task.ErrPanicked) })

	panics = false

	await(2*time.Second, func(value int, err error) bool { return value == 5 && err == nil })
}
