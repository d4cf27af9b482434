// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"fmt"
	"time"
)

// MaxAnswer is the longest answer that is kept, in bytes. Spegel's is about 60 kB.
const MaxAnswer = 256 << 10

// Answer is the newest complete answer of a target's /metrics as it was received.
type Answer struct {
	// Clock is when it was complete (CLOCK_BOOTTIME).
	Clock time.Duration
	// Text is never changed.
	Text []byte
	// Unavailable is why there is no text; empty with one.
	Unavailable string
}

// noAnswer is the answer of a target that has not given one.
var noAnswer = Answer{Unavailable: "the target has not answered yet"}

// answerCopy takes an answer while it is read. An answer that is longer than MaxAnswer is dropped.
type answerCopy struct {
	text []byte
	long bool
}

// Write implements io.Writer. It never fails.
func (c *answerCopy) Write(data []byte) (int, error) {
	if c.long = c.long || len(c.text)+len(data) > MaxAnswer; c.long {
		c.text = nil
	} else {
		c.text = append(c.text, data...)
	}

	return len(data), nil
}

// answer returns what was copied until now as an answer.
func (c *answerCopy) answer(clock time.Duration) Answer {
	if c.long {
		return Answer{Clock: clock, Unavailable: fmt.Sprintf("the target's answer is larger than %d bytes", MaxAnswer)}
	}

	return Answer{Clock: clock, Text: c.text}
}
