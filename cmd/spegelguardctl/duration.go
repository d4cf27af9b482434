// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"time"

	"github.com/spf13/pflag"

	"github.com/spegel-guard/spegel-guard/internal/duration"
)

// positive is a flag with a duration above 0, or a command would ask without a pause or wait for no response.
type positive struct{ *time.Duration }

// Set implements pflag.Value.
func (p positive) Set(text string) error {
	value, err := duration.Parse(text)
	if err != nil {
		return err
	}

	if value <= 0 {
		return errors.New("must be a duration above 0 such as 10s")
	}

	*p.Duration = value

	return nil
}

// Type implements pflag.Value.
func (p positive) Type() string { return "duration" }

// withDays is a flag with a duration that is written and read as this command prints durations: 10m, 2d3h.
type withDays struct{ pflag.Value }

// Set implements pflag.Value.
func (d withDays) Set(text string) error {
	value, err := duration.Parse(text)
	if err != nil {
		return errors.New("must be a duration such as 30s, 10m, 1h30m or 2d3h")
	}

	return d.Value.Set(value.String())
}

// String implements pflag.Value.
func (d withDays) String() string {
	if d.Value == nil {
		return ""
	}

	value, err := time.ParseDuration(d.Value.String())
	if err != nil {
		return d.Value.String()
	}

	return duration.Format(value)
}

// readDays has a flag with a duration accept days.
func readDays(f *pflag.Flag) {
	if _, done := f.Value.(withDays); !done && f.Value.Type() == "duration" {
		f.Value = withDays{Value: f.Value}
		f.DefValue = f.Value.String()
	}
}
