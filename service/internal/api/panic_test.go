// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api_test

import (
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
)

// TestServe_SurvivesPanics: the client sees none of its text, and each stream is given back.
func TestServe_SurvivesPanics(t *testing.T) {
	g := apitest.New(t, apitest.Options{Capture: func() (string, error) { panic("secret") }})
	service := g.Service(t, role.Operator)

	for range limits.MaxStreamsPerClient + 1 {
		_, err := service.Capture(t.Context(), &guardv1alpha1.CaptureRequest{Target: apitest.Workload})
		require.Equal(t, codes.Internal, status.Code(err), "%v", err)
		assert.NotContains(t, err.Error(), "secret")
		assert.ErrorContains(t, err, "guard's log")
	}

	_, err := service.History(t.Context(), &guardv1alpha1.HistoryRequest{})
	assert.NoError(t, err)
}
