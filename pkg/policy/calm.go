// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// calm is how long there was no reason for a ceiling.
type calm struct {
	// quiet is how long every rule is quiet and the workload is not throttled by a ceiling.
	quiet time.Duration
	// under is how long no rule is above its threshold and the workload is not throttled by a ceiling, which is a weaker
	// condition than quiet.
	under time.Duration
}

// step adds the time since the sample before.
func (c *calm) step(passed time.Duration, quiet, under bool) {
	c.quiet = lengthen(c.quiet, passed, quiet)
	c.under = lengthen(c.under, passed, under)
}

func lengthen(d, by time.Duration, on bool) time.Duration {
	if !on {
		return 0
	}

	return d + by
}
