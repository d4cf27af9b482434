// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Goals for the reaction on this machine.
const (
	goalReactionP50 = time.Millisecond
	goalReactionP99 = 5 * time.Millisecond
)

// withEvidence is the part of the benchmark that has the default configuration.
const withEvidence = "with evidence"

// reaction is a part of BenchmarkReaction.
type reaction struct {
	With     string
	P50, P99 time.Duration
}

var reactionLine = regexp.MustCompile(`BenchmarkReaction/(\w+)\S*\s.*\s([\d.]+) p50-us\s+([\d.]+) p99-us`)

func reactions(ctx context.Context) ([]reaction, error) {
	text, err := output(ctx, os.Stdout, "go", "test", "-run", "^$", "-bench", "^BenchmarkReaction$", "-benchtime", "500x", "./service/internal/controllers")
	if err != nil {
		return nil, err
	}

	return parseReactions(string(text))
}

func parseReactions(text string) ([]reaction, error) {
	var found []reaction

	for _, match := range reactionLine.FindAllStringSubmatch(text, -1) {
		p50, err := strconv.ParseFloat(match[2], 64)
		p99, err2 := strconv.ParseFloat(match[3], 64)

		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("failed to read the benchmark of the reaction: %w", err)
		}

		found = append(found, reaction{strings.ReplaceAll(match[1], "_", " "), microseconds(p50), microseconds(p99)})
	}

	if len(found) == 0 {
		return nil, errors.New("the benchmark of the reaction has printed no result")
	}

	return found, nil
}

func microseconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Microsecond))
}

func (f findings) reactionGoals() []goal {
	var goals []goal

	for _, r := range f.Reaction {
		if r.With == withEvidence {
			goals = append(goals,
				goal{"reaction p50, default configuration with evidence", "at most 1 ms", milliseconds(r.P50), r.P50 <= goalReactionP50},
				goal{"reaction p99, default configuration with evidence", "at most 5 ms", milliseconds(r.P99), r.P99 <= goalReactionP99})
		}
	}

	return goals
}
