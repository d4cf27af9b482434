// SPDX-License-Identifier: MPL-2.0

// Command pause holds a pod's namespaces open, as Kubernetes' pause container does.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
