// SPDX-License-Identifier: MPL-2.0

// Command kubelet stands in for kubelet on a Talos node, which asks it only whether it is healthy. It runs no pods.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// listen is where Talos asks (services.Kubelet.HealthFunc).
const listen = "127.0.0.1:10248"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kubelet:", err)
		os.Exit(1)
	}
}

// run ignores the arguments, which are those of the real kubelet.
func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "ok") //nolint:errcheck // Talos asks again
	})

	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	go func() {
		<-ctx.Done()
		server.Close() //nolint:errcheck // it is going away
	}()

	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}

	return nil
}
