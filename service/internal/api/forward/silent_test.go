// SPDX-License-Identifier: MPL-2.0

//go:build linux

package forward_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
)

// silentNode accepts connections and never speaks.
type silentNode struct {
	// left counts the connections that their client closed.
	left  atomic.Int64
	close func()
}

func newSilentNode(t *testing.T, endpoint string) *silentNode {
	t.Helper()

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", endpoint)
	require.NoError(t, err)

	var (
		node    = &silentNode{}
		serving sync.WaitGroup
		mu      sync.Mutex
		conns   []net.Conn
	)

	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()

			serving.Go(func() {
				if _, err := io.Copy(io.Discard, conn); err == nil {
					node.left.Add(1)
				}
			})
		}
	})

	node.close = sync.OnceFunc(func() {
		listener.Close()
		mu.Lock()
		defer mu.Unlock()

		for _, conn := range conns {
			conn.Close()
		}
	})

	t.Cleanup(func() {
		node.close()
		serving.Wait()
	})

	return node
}

// TestRouter_AsksALiveNodeBesideSilentOnes: the request reaches the live node while those before it are still connected to, and
// each silent node has an error of its own.
func TestRouter_AsksALiveNodeBesideSilentOnes(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	_, port, err := net.SplitHostPort(worker.Endpoint)
	require.NoError(t, err)

	hosts := []string{"127.0.0.3", "127.0.0.4", "127.0.0.5"}

	var nodes []*silentNode

	for _, host := range hosts {
		nodes = append(nodes, newSilentNode(t, net.JoinHostPort(host, port)))
	}

	guards := guardv1alpha1.NewGuardServiceClient(controlPlane.Client(t, role.Operator).Conn())
	answered := make(chan *guardv1alpha1.PauseResponse, 1)

	go func() {
		response, err := guards.Pause(client.WithNodes(t.Context(), append(hosts, worker.Host)...),
			&guardv1alpha1.PauseRequest{For: durationpb.New(time.Minute), Reason: "test"})
		assert.NoError(t, err)

		answered <- response
	}()

	require.Eventually(t, func() bool {
		_, err := safe.StateGetByID[*resources.Override](t.Context(), worker.State, resources.OverridePauseID)

		return err == nil
	}, apitest.Patience, time.Millisecond)

	for i, node := range nodes {
		assert.Zero(t, node.left.Load(), "the connection to %s was given up first", hosts[i])
		node.close()
	}

	response := <-answered
	got := map[string]codes.Code{}

	for _, message := range response.GetMessages() {
		got[message.GetMetadata().GetHostname()] = codes.Code(message.GetMetadata().GetStatus().GetCode())
	}

	assert.Equal(t, map[string]codes.Code{
		worker.Host: codes.OK, hosts[0]: codes.Unavailable, hosts[1]: codes.Unavailable, hosts[2]: codes.Unavailable,
	}, got)
}

// inTime repeats a request with longer deadlines until the client has the response, with the answer of a live node: however long that
// takes on this machine. It returns the codes of the nodes.
func inTime(t *testing.T, live string, request func(ctx context.Context) (map[string]codes.Code, error)) map[string]codes.Code {
	t.Helper()

	for deadline := 4 * time.Second; ; deadline *= 2 {
		require.Less(t, deadline, apitest.Patience)

		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		got, err := request(ctx)

		cancel()

		if status.Code(err) == codes.DeadlineExceeded || got[live] == codes.DeadlineExceeded {
			continue
		}

		require.NoError(t, err)

		return got
	}
}

// TestRouter_GivesUpASilentNode without an end of its own, before the client's deadline.
func TestRouter_GivesUpASilentNode(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	_, port, err := net.SplitHostPort(worker.Endpoint)
	require.NoError(t, err)

	newSilentNode(t, net.JoinHostPort("127.0.0.3", port))

	guards := guardv1alpha1.NewGuardServiceClient(controlPlane.Client(t, role.Reader).Conn())
	got := inTime(t, worker.Host, func(ctx context.Context) (map[string]codes.Code, error) {
		response, err := guards.History(client.WithNodes(ctx, worker.Host, "127.0.0.3"), &guardv1alpha1.HistoryRequest{})
		got := map[string]codes.Code{}

		for _, message := range response.GetMessages() {
			got[message.GetMetadata().GetHostname()] = codes.Code(message.GetMetadata().GetStatus().GetCode())
		}

		return got, err
	})
	assert.Equal(t, map[string]codes.Code{worker.Host: codes.OK, "127.0.0.3": codes.DeadlineExceeded}, got)
}

// TestRouter_AnswersBesideAHangingNode, whose guard took the request and does not answer it.
func TestRouter_AnswersBesideAHangingNode(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	_, port, err := net.SplitHostPort(worker.Endpoint)
	require.NoError(t, err)

	hang := make(chan bool)
	defer close(hang)

	var hanging *apitest.Guard

	guards := guardv1alpha1.NewGuardServiceClient(controlPlane.Client(t, role.Operator).Conn())
	tries := 0

	got := inTime(t, worker.Host, func(ctx context.Context) (map[string]codes.Code, error) {
		// A guard that captures already refuses the next request.
		host := fmt.Sprintf("127.0.0.%d", 3+tries)
		tries++

		hanging = apitest.New(t, apitest.Options{PKI: controlPlane.PKI, Host: host, Port: port, Capture: func() (string, error) {
			<-hang

			return "", nil
		}})

		response, err := guards.Capture(client.WithNodes(ctx, hanging.Host, worker.Host), &guardv1alpha1.CaptureRequest{})
		got := map[string]codes.Code{}

		for _, message := range response.GetMessages() {
			got[message.GetMetadata().GetHostname()] = codes.Code(message.GetMetadata().GetStatus().GetCode())
		}

		return got, err
	})

	assert.Equal(t, map[string]codes.Code{worker.Host: codes.OK, hanging.Host: codes.DeadlineExceeded}, got)
}

// TestRouter_ServesOthersAfterBogusNodes: the connections of failed requests take no room.
func TestRouter_ServesOthersAfterBogusNodes(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	guards := guardv1alpha1.NewGuardServiceClient(controlPlane.Client(t, role.Reader).Conn())

	for request := range 6 {
		bogus := make([]string, 200)
		for i := range bogus {
			bogus[i] = fmt.Sprintf("127.9.%d.%d", request, i+1) // refuses connections
		}

		response, err := guards.History(client.WithNodes(t.Context(), bogus...), &guardv1alpha1.HistoryRequest{})
		require.NoError(t, err)
		require.Len(t, response.GetMessages(), len(bogus))
		assert.Equal(t, int32(codes.Unavailable), response.GetMessages()[0].GetMetadata().GetStatus().GetCode())
	}

	admin := controlPlane.Client(t, role.Admin)
	assert.Equal(t, resources.StatePending, apitest.StateOf(client.WithNode(t.Context(), worker.Host), t, admin))
}
