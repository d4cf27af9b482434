// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
)

// day is the memory during simulated days, in KiB: after the first one, whose history fills, and after two more.
type day struct {
	Ticks             int
	First, Last, Most float64
}

var dayLine = regexp.MustCompile(`(\d+) ticks: heap ([\d.]+) KiB after the first day, ([\d.]+) after the last, ([\d.]+) at the most`)

func aDay(ctx context.Context) (day, error) {
	text, err := output(ctx, os.Stdout, "go", "test", "-count=1", "-v", "-timeout", "10m", "-run", "TestPolicyController_DaysOfTicks", "./service/internal/controllers")
	if err != nil {
		return day{}, err
	}

	var d day

	match := dayLine.FindSubmatch(text)
	if match == nil {
		return d, errors.New("the test of days has printed no result")
	}

	_, err = fmt.Sscan(string(bytes.Join(match[1:], []byte(" "))), &d.Ticks, &d.First, &d.Last, &d.Most)

	return d, err
}
