// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// End is end, for tests of this package.
type End = end

const (
	EndUnknown = endUnknown
	EndQuiet   = endQuiet
	EndBreach  = endBreach
)

// Judge is Verdict.judge.
func Judge(v *Verdict, throttled time.Duration, end End) { v.judge(throttled, end) }
