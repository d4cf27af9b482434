// SPDX-License-Identifier: MPL-2.0

// Package duration writes and reads durations as people do: 10m, 2h30m, 2d3h. What it writes it also reads.
package duration

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Format writes a duration to the second, or finer below one: 350ms, 10m, 2h30m. From a day on it is written to the hour, with days:
// 2d3h.
func Format(d time.Duration) string {
	switch {
	case d <= math.MinInt64+time.Second:
		return Format(d + time.Second)
	case d < 0:
		return "-" + Format(-d)
	case d > time.Second:
		d = d.Round(time.Second)
	}

	if d < day {
		return Exact(d)
	}

	d = d.Round(time.Hour)

	text := fmt.Sprintf("%dd", d/day)
	if hours := d % day / time.Hour; hours > 0 {
		text += fmt.Sprintf("%dh", hours)
	}

	return text
}

// Exact writes a duration as Go does, without zeros at the end and without rounding: 10m instead of 10m0s, 24h.
func Exact(d time.Duration) string {
	text := d.String()

	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}

	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}

	return text
}

// Parse reads a duration as Go writes it, with whole days in front if there are any: 1s, 10m, 1h30m, 2d3h.
func Parse(text string) (time.Duration, error) {
	unsigned, negative := strings.CutPrefix(text, "-")

	days, rest, found := strings.Cut(unsigned, "d")
	if !found {
		return time.ParseDuration(text)
	}

	count, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("failed to parse the duration %q: days must be a whole number", text)
	}

	total := time.Duration(count) * day

	if rest != "" {
		part, err := time.ParseDuration(rest)
		if err != nil || part < 0 {
			return 0, fmt.Errorf("failed to parse the duration %q: must be such as 10m, 1h30m or 2d3h", text)
		}

		if total += part; total < part {
			return 0, fmt.Errorf("failed to parse the duration %q: out of range", text)
		}
	}

	if negative {
		total = -total
	}

	return total, nil
}
