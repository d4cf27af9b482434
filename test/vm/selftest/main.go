// SPDX-License-Identifier: MPL-2.0

// Command selftest ends as its argument says, for tests of the harness.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	switch how := os.Args[1]; how {
	case "well":
		fmt.Println("ends well")
	case "badly":
		os.Exit(3)
	case "crash": // the kernel, not this program
		if err := os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0); err != nil {
			fmt.Println(err)
		}
	case "never":
		fmt.Println("never ends")
		time.Sleep(time.Hour)
	}
}
