// SPDX-License-Identifier: MPL-2.0

package boottime

import "time"

// early is the share of an interval before its end in which the interval counts as over.
const early = 8

// Due reports whether the time since the last work is enough for the next. Who looks at each tick of a ticker looks a bit less than
// an interval after work that was done a bit late.
func Due(since, interval time.Duration) bool { return since >= interval-interval/early }
