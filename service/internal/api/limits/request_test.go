// SPDX-License-Identifier: MPL-2.0

package limits_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
)

func TestCheckRequest(t *testing.T) {
	const kind = resources.GuardStatusType

	labels := func(queries, terms, values int) []*v1alpha1.LabelQuery {
		query := &v1alpha1.LabelQuery{}
		for range terms {
			query.Terms = append(query.Terms, &v1alpha1.LabelTerm{Key: "a", Value: make([]string, values)})
		}

		all := make([]*v1alpha1.LabelQuery, queries)
		for i := range all {
			all[i] = query
		}

		return all
	}

	for name, test := range map[string]struct {
		request any
		want    codes.Code
	}{
		"another service":       {&guardv1alpha1.DoctorRequest{}, codes.OK},
		"health of the guard":   {&grpc_health_v1.HealthCheckRequest{}, codes.OK},
		"health of a name":      {&grpc_health_v1.HealthCheckRequest{Service: strings.Repeat("x", 60_000)}, codes.NotFound},
		"get":                   {&v1alpha1.GetRequest{Namespace: resources.Namespace, Type: kind, Id: "spegel"}, codes.OK},
		"get of a definition":   {&v1alpha1.GetRequest{Namespace: "meta", Type: "ResourceDefinitions.meta.cosi.dev", Id: "x"}, codes.OK},
		"list of namespaces":    {&v1alpha1.ListRequest{Namespace: "meta", Type: "Namespaces.meta.cosi.dev"}, codes.OK},
		"invented namespace":    {&v1alpha1.GetRequest{Namespace: "invented-1", Type: kind, Id: "spegel"}, codes.NotFound},
		"invented type":         {&v1alpha1.ListRequest{Namespace: resources.Namespace, Type: "Invented.x"}, codes.NotFound},
		"a type of another one": {&v1alpha1.WatchRequest{Namespace: "meta", Type: kind}, codes.NotFound},
		"long id":               {&v1alpha1.GetRequest{Namespace: resources.Namespace, Type: kind, Id: strings.Repeat("x", 1025)}, codes.InvalidArgument},
		"regular expression": {&v1alpha1.ListRequest{
			Namespace: resources.Namespace, Type: kind, Options: &v1alpha1.ListOptions{IdQuery: &v1alpha1.IDQuery{Regexp: strings.Repeat("x{1000}", 3000)}},
		}, codes.InvalidArgument},
		"watch with a regular expression": {&v1alpha1.WatchRequest{
			Namespace: resources.Namespace, Type: kind, Options: &v1alpha1.WatchOptions{IdQuery: &v1alpha1.IDQuery{Regexp: "x"}},
		}, codes.InvalidArgument},
		"labels": {&v1alpha1.ListRequest{
			Namespace: resources.Namespace, Type: kind, Options: &v1alpha1.ListOptions{LabelQuery: labels(16, 16, 16)},
		}, codes.OK},
		"many queries": {&v1alpha1.ListRequest{
			Namespace: resources.Namespace, Type: kind, Options: &v1alpha1.ListOptions{LabelQuery: labels(17, 1, 1)},
		}, codes.InvalidArgument},
		"many terms": {&v1alpha1.WatchRequest{
			Namespace: resources.Namespace, Type: kind, Options: &v1alpha1.WatchOptions{LabelQuery: labels(1, 17, 1)},
		}, codes.InvalidArgument},
		"many values": {&v1alpha1.ListRequest{
			Namespace: resources.Namespace, Type: kind, Options: &v1alpha1.ListOptions{LabelQuery: labels(1, 1, 17)},
		}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, status.Code(limits.CheckRequest(test.request))) })
	}
}

// silent is a stream whose client announces a message and withholds it.
type silent struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // grpc.ServerStream has it
}

func (s silent) Context() context.Context { return s.ctx }

func (s silent) RecvMsg(any) error {
	<-s.ctx.Done()

	return s.ctx.Err()
}

// panicking is a stream that panics, as a codec could.
type panicking struct{ silent }

func (panicking) RecvMsg(any) error { panic("secret") }
func (panicking) SendMsg(any) error { panic("secret") }

// TestStream_SurvivesPanics: the proxy calls both methods in goroutines of its own.
// TestCheckRequest_LetsNoQueryPanic: COSI's server converts each query that passes.
func TestCheckRequest_LetsNoQueryPanic(t *testing.T) {
	for op := range v1alpha1.LabelTerm_Operation_name {
		for values := range 3 {
			terms := []*v1alpha1.LabelTerm{{Key: "a", Op: v1alpha1.LabelTerm_Operation(op), Value: make([]string, values)}}
			query := []*v1alpha1.LabelQuery{{Terms: terms}}

			for _, request := range []any{
				&v1alpha1.ListRequest{
					Namespace: resources.Namespace, Type: resources.GuardStatusType, Options: &v1alpha1.ListOptions{LabelQuery: query},
				},
				&v1alpha1.WatchRequest{
					Namespace: resources.Namespace, Type: resources.GuardStatusType, Options: &v1alpha1.WatchOptions{LabelQuery: query},
				},
			} {
				if err := limits.CheckRequest(request); err != nil {
					assert.Zero(t, values, err)
					assert.Equal(t, codes.InvalidArgument, status.Code(err))

					continue
				}

				assert.NotPanics(t, func() {
					_, err := server.ConvertLabelQuery(terms)
					assert.NoError(t, err)
				}, "%s with %d values", terms[0].GetOp(), values)
			}
		}
	}
}

func TestStream_SurvivesPanics(t *testing.T) {
	stream := limits.NewStream(panicking{silent{ctx: t.Context()}}, false, func() {})

	for name, call := range map[string]func(any) error{"receive": stream.RecvMsg, "receive again": stream.RecvMsg, "send": stream.SendMsg} {
		t.Run(name, func(t *testing.T) {
			err := call(&v1alpha1.GetRequest{})
			assert.Equal(t, codes.Internal, status.Code(err), "%v", err)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestStream_EndsWithoutARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, cut := time.Now(), false
		ctx, cancel := context.WithCancel(t.Context())
		stream := limits.NewStream(silent{ctx: ctx}, false, func() { cut = true })

		err := stream.RecvMsg(&v1alpha1.GetRequest{})
		assert.Equal(t, codes.DeadlineExceeded, status.Code(err), "%v", err)
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.True(t, cut, "what has arrived is freed with the connection")

		cancel() // gRPC ends the stream when its handler returns
		synctest.Wait()
	})
}
