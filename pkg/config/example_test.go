// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"errors"
	"fmt"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// A document has only what differs from the defaults.
func ExampleParse() {
	cfg, err := config.Parse([]byte(`
mode: observe
rules:
  - {name: SpegelHighNetworkTX, signal: networkTx, threshold: 30M/min, for: 5m}
`))
	if err != nil {
		fmt.Println(err)

		return
	}

	rule := cfg.Policy().Rules[0]
	fmt.Println(cfg.Mode, rule.Name, rule.Signal.Format(rule.Threshold), rule.For, cfg.Ceiling.CPU)
	// Output: observe SpegelHighNetworkTX 500 kB/s 5m0s 500m
}

// The error names every wrong field with its line.
func ExampleParse_errors() {
	_, err := config.Parse([]byte(`
mode: kill
rules:
  - {name: SpegelHighNetworkTX, signal: networkTx, threshold: 500kbps, for: 5m}
`))

	var wrong config.Errors
	if errors.As(err, &wrong) {
		for _, field := range wrong {
			fmt.Println(field)
		}
	}
	// Output:
	// line 2: invalid mode "kill": must be observe or enforce
	// line 4: invalid rules[0].threshold "500kbps": must be a byte rate such as 500k/s (1k/s..100G/s)
}
