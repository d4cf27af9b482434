// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"time"
)

// positive is a flag with a duration above 0, or a command would ask without a pause or wait for no response.
type positive struct{ *time.Duration }

// Set implements pflag.Value.
func (p positive) Set(text string) error {
	value, err := time.ParseDuration(text)
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
