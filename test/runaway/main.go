// SPDX-License-Identifier: MPL-2.0

// Command runaway is a fake of spegel for the test machine. It reproduces the incident: it advertises every content blob to its
// peers over UDP, which costs CPU time, allocations and packets in proportion to the number of blobs; or it spins as spegel
// v0.6.0, which costs its peers CPU time and traffic, too. It serves the metrics of Go's runtime and of a version of spegel.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spegel-guard/spegel-guard/test/hostile"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "runaway:", err)
		os.Exit(1)
	}
}

func run() error {
	load := DefaultLoad()

	listen := flag.String("listen", ":9090", "address of /metrics, /steer and /stats")
	gossip := flag.String("gossip", ":5001", "UDP address for advertisements of peers")
	flag.TextVar(&load.Mode, "mode", load.Mode, "idle, healthy, sustained, periodic, paced or spinning")
	flag.IntVar(&load.Blobs, "blobs", load.Blobs, "content blobs on this node")
	version := V06
	flag.TextVar(&version, "metrics", version, "metrics of spegel v0.5, v0.6 or main")
	badly := flag.String("hostile", "", "serve invalid /metrics in a mode of test/hostile")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", *gossip)
	if err != nil {
		return fmt.Errorf("failed to listen for peers: %w", err)
	}

	defer conn.Close() //nolint:errcheck

	advertiser := NewAdvertiser(conn, load)

	handler := metrics(version, blobsOf(advertiser))
	if *badly != "" {
		handler = hostile.Handler(hostile.Mode(*badly))
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", handler)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("POST /steer", advertiser.handleSteer)
	mux.HandleFunc("GET /stats", advertiser.handleStats)

	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	go advertiser.Drain()
	go advertiser.Run(ctx)

	go func() {
		<-ctx.Done()
		server.Close() //nolint:errcheck // the process ends
	}()

	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("failed to serve HTTP: %w", err)
	}

	return nil
}
