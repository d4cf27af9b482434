// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// TestCapturer_EndsForItsCaller: a capture that hangs keeps others out, but not its caller.
func TestCapturer_EndsForItsCaller(t *testing.T) {
	s := newSuite(t, newState(t))
	s.configure("evidence: {profile: 0s}")

	release := make(chan struct{})
	target := &asked{handler: func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("go_goroutines 10\n")) }}

	c := &Capturer{Store: &record.Evidence{Dir: t.TempDir()}, State: s.state, Source: func(resources.TargetSpec) observe.Source {
		return observe.Source{Namespace: func() (observe.Namespace, error) {
			<-release

			return target, nil
		}}
	}}

	_, err := c.Capture(t.Context(), targetID, resources.TargetSpec{})
	require.ErrorContains(t, err, "failed to capture evidence within 3s")

	_, err = c.Capture(t.Context(), targetID, resources.TargetSpec{})
	require.ErrorIs(t, err, record.ErrCapturing)

	close(release)

	assert.Eventually(t, func() bool {
		folder, err := c.Capture(t.Context(), targetID, resources.TargetSpec{})

		return err == nil && folder != ""
	}, time.Minute, 10*time.Millisecond)
}
