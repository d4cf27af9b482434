// SPDX-License-Identifier: MPL-2.0

//go:build linux

package watcher

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
)

// Measure prints and returns the usage of all watchers during a time.
func Measure(watchers []*Watcher, interval time.Duration, targets int, over time.Duration) ([]result.Usage, error) {
	before := make([]time.Duration, len(watchers))
	began := time.Now()

	var err error

	for i, w := range watchers {
		if before[i], err = w.processor(); err != nil {
			return nil, fmt.Errorf("failed to read the usage of %s: %w", w.Who, err)
		}
	}

	time.Sleep(over)

	passed := time.Since(began)
	used := make([]result.Usage, len(watchers))

	for i, w := range watchers {
		after, err := w.processor()
		if err != nil {
			return nil, fmt.Errorf("failed to read the usage of %s: %w", w.Who, err)
		}

		used[i] = result.Usage{Who: w.Who, Interval: interval, Targets: targets, Cores: (after - before[i]).Seconds() / passed.Seconds()}

		if used[i].Memory, err = w.Memory(); err != nil {
			return nil, fmt.Errorf("failed to read the memory of %s: %w", w.Who, err)
		}

		fmt.Printf("  %-34s %7.3f %% of a core, %5.1f MiB resident, of which %5.1f MiB anonymous\n", w.Who, 100*used[i].Cores, used[i].RSSMiB, used[i].AnonymousMiB)
	}

	return used, nil
}
