// SPDX-License-Identifier: MPL-2.0

//go:build linux

package guard_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

func TestService_RecordsOverrides(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	c := g.Service(t, role.Operator)
	minute := durationpb.New(time.Minute)

	throttled, err := c.Throttle(t.Context(), &guardv1alpha1.ThrottleRequest{CeilingMillicores: 200, For: minute, Reason: "NAS"})
	require.NoError(t, err)
	require.Len(t, throttled.GetMessages(), 1)
	assert.NotEmpty(t, throttled.GetMessages()[0].GetMetadata().GetHostname())

	override := throttled.GetMessages()[0].GetOverrides()[0]
	assert.Equal(t, apitest.Workload, override.GetTarget())
	assert.Equal(t, int64(200), override.GetCeilingMillicores())
	assert.Contains(t, override.GetBy().GetSubject(), "CN=anna")
	assert.Equal(t, time.Minute, override.GetUntil().AsTime().Sub(override.GetSince().AsTime()).Round(time.Second))

	released, err := c.Release(t.Context(), &guardv1alpha1.ReleaseRequest{Target: apitest.Workload, For: minute})
	require.NoError(t, err)
	assert.Equal(t, resources.OverrideRelease, released.GetMessages()[0].GetOverrides()[0].GetKind())

	_, err = c.Pause(t.Context(), &guardv1alpha1.PauseRequest{For: minute})
	require.NoError(t, err)

	inForce, err := safe.StateListAll[*resources.Override](t.Context(), g.State)
	require.NoError(t, err)
	assert.Equal(t, 2, inForce.Len())

	resumed, err := c.Resume(t.Context(), &guardv1alpha1.ResumeRequest{})
	require.NoError(t, err)
	assert.Len(t, resumed.GetMessages()[0].GetOverrides(), 2)

	captured, err := c.Capture(t.Context(), &guardv1alpha1.CaptureRequest{Reason: "look"})
	require.NoError(t, err)
	assert.Equal(t, "/run/spegel-guard/captures/1", captured.GetMessages()[0].GetEvidence()[0].GetPath())

	// Everything is on record.
	list, err := safe.StateListAll[*resources.GuardAction](t.Context(), g.State)
	require.NoError(t, err)

	var recorded []string

	for action := range list.All() {
		spec := action.TypedSpec()
		if spec.Rule != resources.RuleOverride {
			continue
		}

		recorded = append(recorded, spec.Action)

		assert.Contains(t, spec.By.Subject, "CN=anna", spec.Action)
		assert.Len(t, spec.By.Fingerprint, 64)
		assert.Regexp(t, `^127\.0\.0\.1:\d+$`, spec.By.From)
	}

	assert.Equal(t, []string{"throttle", "release", "pause", "resume", "resume", "capture"}, recorded)
}

func TestService_NamesTheFieldOfWrongRequests(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	c := g.Service(t, role.Operator)
	ctx, minute := t.Context(), durationpb.New(time.Minute)

	answer := func(_ any, err error) error { return err }

	for name, test := range map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"no time":         {answer(c.Pause(ctx, &guardv1alpha1.PauseRequest{})), codes.InvalidArgument, "\"0s\""},
		"negative time":   {answer(c.Release(ctx, &guardv1alpha1.ReleaseRequest{For: durationpb.New(-time.Hour)})), codes.InvalidArgument, "\"-1h\""},
		"below the floor": {answer(c.Throttle(ctx, &guardv1alpha1.ThrottleRequest{For: minute, CeilingMillicores: 1})), codes.InvalidArgument, "ceiling.floor"},
		"no such target":  {answer(c.Release(ctx, &guardv1alpha1.ReleaseRequest{For: minute, Target: "a/b/c"})), codes.NotFound, apitest.Workload},
		"a long reason":   {answer(c.Capture(ctx, &guardv1alpha1.CaptureRequest{Reason: strings.Repeat("x", 300)})), codes.InvalidArgument, "256 bytes"},
		"history nobody":  {answer(c.History(ctx, &guardv1alpha1.HistoryRequest{Target: "a/b/c"})), codes.NotFound, "a/b/c"},
		"capture nobody":  {answer(c.Capture(ctx, &guardv1alpha1.CaptureRequest{Target: "a/b/c"})), codes.NotFound, "a/b/c"},
		"no past":         {answer(c.History(ctx, &guardv1alpha1.HistoryRequest{Since: durationpb.New(-1)})), codes.InvalidArgument, "since"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.code, status.Code(test.err), "%v", test.err)
			assert.ErrorContains(t, test.err, test.text)
		})
	}
}

// TestService_CapturesOnce: every listener has a service of its own for the same node.
func TestService_CapturesOnce(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})

	var busy atomic.Bool

	g := apitest.New(t, apitest.Options{Capture: func() (string, error) {
		if !busy.CompareAndSwap(false, true) {
			return "", record.ErrCapturing
		}

		close(begun)
		<-end

		return "/somewhere", nil
	}})

	c, first := g.Service(t, role.Admin), make(chan error, 1)

	go func() {
		_, err := c.Capture(t.Context(), &guardv1alpha1.CaptureRequest{})
		first <- err
	}()

	<-begun

	conn, err := grpc.NewClient("unix://"+g.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)

	defer conn.Close()

	_, err = guardv1alpha1.NewGuardServiceClient(conn).Capture(t.Context(), &guardv1alpha1.CaptureRequest{})
	assert.Equal(t, codes.Aborted, status.Code(err), "%v", err)

	close(end)
	require.NoError(t, <-first)
}

// TestService_ReportsFailedCaptures: the API serves the next request after a failure and after a panic.
func TestService_ReportsFailedCaptures(t *testing.T) {
	capture := func() (string, error) { return "", errors.New("no answer") }
	g := apitest.New(t, apitest.Options{Capture: func() (string, error) { return capture() }})
	c := g.Service(t, role.Admin)

	captured, err := c.Capture(t.Context(), &guardv1alpha1.CaptureRequest{})
	require.NoError(t, err)
	assert.Equal(t, "no answer", captured.GetMessages()[0].GetEvidence()[0].GetError())

	capture = func() (string, error) { panic("a mistake") }

	core, logs := observer.New(zap.InfoLevel)
	t.Cleanup(zap.ReplaceGlobals(zap.New(core)))

	_, err = c.Capture(t.Context(), &guardv1alpha1.CaptureRequest{})
	require.Equal(t, codes.Internal, status.Code(err), "%v", err)
	assert.NotContains(t, err.Error(), "a mistake", "that is for the log")
	assert.Equal(t, 1, logs.FilterMessageSnippet("panicked").Len())

	capture = func() (string, error) { return "/somewhere", nil }

	_, err = c.Capture(t.Context(), &guardv1alpha1.CaptureRequest{})
	require.NoError(t, err)
}

func TestService_ReturnsHistory(t *testing.T) {
	g := apitest.New(t, apitest.Options{})

	// Minutes apart: the test may take its time.
	now := boottime.Now()
	for i := range 4 {
		g.History.Add(apitest.Workload, "c", apitest.Sample(now-time.Duration(35-10*i)*time.Minute, 0.5))
	}

	c := g.Service(t, role.Reader)

	response, err := c.History(t.Context(), &guardv1alpha1.HistoryRequest{})
	require.NoError(t, err)
	require.Len(t, response.GetMessages()[0].GetSeries(), 1)

	points := response.GetMessages()[0].GetSeries()[0].GetPoints()
	require.Len(t, points, 3)
	assert.InDelta(t, 0.5, points[0].GetCpuCores(), 1e-6)
	assert.InDelta(t, 1e6, points[0].GetTxBytesPerSecond(), 1)
	assert.Nil(t, points[0].AllocBytesPerSecond, "not asked") //nolint:protogetter // absent, not 0
	assert.WithinDuration(t, time.Now().Add(-25*time.Minute), points[0].GetAt().AsTime(), 5*time.Minute)

	response, err = c.History(t.Context(), &guardv1alpha1.HistoryRequest{Since: durationpb.New(20 * time.Minute)})
	require.NoError(t, err)
	assert.Len(t, response.GetMessages()[0].GetSeries()[0].GetPoints(), 2)
}

// TestService_HistoryOfADay has steps of a minute, ended targets and the node's traffic; the answer to any request is bounded.
func TestService_HistoryOfADay(t *testing.T) {
	g := apitest.New(t, apitest.Options{})

	// A machine of this test may have been up for less than a day.
	now := boottime.Now()

	for i := range record.HistoryTargets {
		id := fmt.Sprintf("spegel/ended-%02d/registry", i)

		for at := now - 25*time.Hour; at <= now; at += 30 * time.Second {
			g.History.Add(id, "c", apitest.Sample(at, 0.5))
		}

		g.History.Forget(id)
	}

	for at := now - 2*time.Hour; at <= now; at += record.HistoryStep {
		g.History.AddNode(&resources.NodeStatsSpec{Clock: at, TXBytes: uint64((at - now + 3*time.Hour).Seconds() * 1e6)})
	}

	c := g.Service(t, role.Reader)

	for name, test := range map[string]struct {
		request      *guardv1alpha1.HistoryRequest
		series       int
		points, node int
		over         time.Duration
	}{
		"everything": {&guardv1alpha1.HistoryRequest{}, record.HistoryTargets + 1, 24 * 60, 120, time.Minute},
		"a year": {
			&guardv1alpha1.HistoryRequest{Since: durationpb.New(365 * 24 * time.Hour)}, record.HistoryTargets + 1, 24 * 60, 120, time.Minute,
		},
		"two hours of one": {
			&guardv1alpha1.HistoryRequest{Target: "spegel/ended-03/registry", Since: durationpb.New(2 * time.Hour)}, 1, 120, 120, time.Minute,
		},
		"an hour":            {&guardv1alpha1.HistoryRequest{Since: durationpb.New(time.Hour)}, record.HistoryTargets + 1, 60, 360, record.HistoryStep},
		"one that only runs": {&guardv1alpha1.HistoryRequest{Target: apitest.Workload}, 1, 0, 120, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := c.History(t.Context(), test.request)
			require.NoError(t, err)

			message := response.GetMessages()[0]
			assert.Len(t, message.GetSeries(), test.series)
			// The first point may have been a day ago when the test began.
			assert.InDelta(t, test.points, len(message.GetSeries()[0].GetPoints()), 1)
			assert.InDelta(t, test.node, len(message.GetLinks().GetPoints()), 6)
			assert.Equal(t, test.over, message.GetLinks().GetPoints()[0].GetOver().AsDuration())
			assert.InDelta(t, 1e6, message.GetLinks().GetPoints()[0].GetTxBytesPerSecond(), 1)
			assert.Nil(t, message.GetLinks().GetPoints()[0].CpuCores) //nolint:protogetter // absent, not 0
			// talosctl and other clients accept 4 MiB if nothing else is set.
			assert.Less(t, proto.Size(response), 4<<20)
		})
	}
}
