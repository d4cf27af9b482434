// SPDX-License-Identifier: MPL-2.0

package boottime

import "time"

// early is the share of an interval before its end in which the interval counts as over.
const early = 8

// Due reports whether an interval has passed since the last work, up to an eighth of it early. Work that a tick starts may begin a bit
// late, and then the tick after it comes a bit less than an interval later.
func Due(since, interval time.Duration) bool { return since >= interval-interval/early }
