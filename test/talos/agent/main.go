// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command agent creates pods on a Talos node whose kubelet runs none, and serves the images that Talos pulls. It is a system
// extension of the test node and serves requests of the test, which runs on the host of the emulator.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spegel-guard/spegel-guard/test/node"
)

// listen is reachable only through QEMU's user network.
const listen = ":50400"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if err := serveImages(ctx); err != nil {
		return err
	}

	n, err := node.Connect(ctx)
	if err != nil {
		return err
	}

	a := &agent{node: n, pods: map[string]*node.Pod{}}
	mux := http.NewServeMux()
	mux.Handle("GET /ready", handler(func(*http.Request) (any, error) { return struct{}{}, nil }))
	mux.Handle("POST /pods", handler(a.runPod))
	mux.Handle("POST /pods/{name}/steer", handler(a.steer))

	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	go func() {
		<-ctx.Done()
		server.Close() //nolint:errcheck // it is going away
	}()

	fmt.Println("agent: listening on", listen)

	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}

	return nil
}

type agent struct {
	node *node.Node

	mu   sync.Mutex
	pods map[string]*node.Pod
}

// handler answers with JSON, or with the text of the error.
func handler(do func(r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := do(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)

			return
		}

		json.NewEncoder(w).Encode(answer) //nolint:errcheck // the client sees that it is cut
	})
}

func (a *agent) runPod(r *http.Request) (any, error) {
	var spec node.PodSpec

	if err := json.NewDecoder(r.Body).Decode(&spec); err != nil {
		return nil, err
	}

	pod, err := a.node.RunPod(r.Context(), spec)
	if err != nil {
		return nil, err
	}

	a.mu.Lock()
	a.pods[spec.Name] = pod
	a.mu.Unlock()

	return pod, pod.WaitServing(r.Context())
}

func (a *agent) pod(r *http.Request) (*node.Pod, error) {
	a.mu.Lock()
	defer a.mu.Unlock()

	pod, ok := a.pods[r.PathValue("name")]
	if !ok {
		return nil, fmt.Errorf("pod %q does not exist", r.PathValue("name"))
	}

	return pod, nil
}

func (a *agent) steer(r *http.Request) (any, error) {
	pod, err := a.pod(r)
	if err != nil {
		return nil, err
	}

	load := map[string]any{}
	if err := json.NewDecoder(r.Body).Decode(&load); err != nil {
		return nil, err
	}

	return struct{}{}, pod.Steer(r.Context(), load)
}
