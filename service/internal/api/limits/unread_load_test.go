// SPDX-License-Identifier: MPL-2.0

//go:build linux

package limits_test

import (
	"context"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
	"github.com/spegel-guard/spegel-guard/test/badclient"
)

// aDay is the history of one target over a day, which is the largest answer of an ordinary node.
func aDay() *record.History {
	history := &record.History{}
	fill(history)

	return history
}

func fill(history *record.History) {
	now := boottime.Now()

	for at := now - record.HistoryKept; at <= now; at += 30 * time.Second {
		history.Add(apitest.Workload, "c", apitest.Sample(at, 0.5))
	}
}

// TestLimits_BoundUnreadAnswers: the handler of an answer returns long before the client reads it, if it ever does.
func TestLimits_BoundUnreadAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		encoding string
		atOnce   bool
	}{
		"one after the other": {},
		"compressed":          {encoding: gzip.Name},
		"at once":             {atOnce: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := startChild(t)

			_, err := machine.NewMachineServiceClient(c.dial(t, "other")).Version(t.Context(), &emptypb.Empty{}, grpc.WaitForReady(true))
			require.NoError(t, err)

			client := c.bad(t, "greedy", 0)
			client.Encoding = test.encoding

			for i := range limits.MaxStreams {
				if _, err := client.Call(guardv1alpha1.GuardService_History_FullMethodName, &guardv1alpha1.HistoryRequest{}); err != nil {
					break // the guard has closed the connection
				}

				if !test.atOnce && !answered(t, client, int64(i+1)) {
					break
				}
			}

			select {
			case <-client.Ended():
			case <-time.After(apitest.Patience):
				require.Fail(t, "a client that reads nothing is still served")
			}

			assert.Less(t, c.megabytes(t, "peak"), float64(maxMegabytes))

			// The one that does not read is back, and others are served.
			for _, name := range []string{"greedy", "other"} {
				service := guardv1alpha1.NewGuardServiceClient(c.dial(t, name))

				_, err := service.History(t.Context(), &guardv1alpha1.HistoryRequest{}, grpc.WaitForReady(true))
				require.NoError(t, err)
			}

			t.Logf("heap and stacks %.1f MB at the most, resident %.1f MB", c.megabytes(t, "peak"), c.resident(t))
			assert.Equal(t, "clean", c.stop(t), "goroutines are left behind")
		})
	}
}

// answered waits for the headers of answers. It returns false if the connection is closed before.
func answered(t *testing.T, client *badclient.Client, count int64) bool {
	t.Helper()

	require.Eventually(t, func() bool { return client.Answers() >= count || len(client.Ended()) > 0 }, apitest.Patience, time.Millisecond)

	return client.Answers() >= count
}

// TestLimits_NeverRefuseAClientThatReads: what it has read, or does not want any more, is not counted.
func TestLimits_NeverRefuseAClientThatReads(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	fill(g.History)

	conn := g.Client(t, role.Reader).Conn()
	service := guardv1alpha1.NewGuardServiceClient(conn)

	read := func(opts ...grpc.CallOption) func(t *testing.T) {
		return func(t *testing.T) {
			response, err := service.History(t.Context(), &guardv1alpha1.HistoryRequest{}, opts...)
			require.NoError(t, err)
			require.Greater(t, proto.Size(response), 64<<10)
		}
	}

	for name, one := range map[string]func(t *testing.T){
		"reads":            read(),
		"reads compressed": read(grpc.UseCompressor(gzip.Name)),
		"cancels": func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()

			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{}, guardv1alpha1.GuardService_History_FullMethodName)
			require.NoError(t, err)
			require.NoError(t, stream.SendMsg(&guardv1alpha1.HistoryRequest{}))
			require.NoError(t, stream.CloseSend())

			// The answer is begun, and most of it is with the server.
			_, err = stream.Header()
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var group errgroup.Group

			group.SetLimit(8)

			for range 150 {
				group.Go(func() error {
					one(t)

					return nil
				})
			}

			require.NoError(t, group.Wait())
		})
	}
}
