// SPDX-License-Identifier: MPL-2.0

// Command pause keeps the namespaces of a pod, like Kubernetes' pause container.
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
