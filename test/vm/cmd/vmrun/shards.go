// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// longTests are about how long the longest tests take. A wrong time costs balance only.
var longTests = map[string]time.Duration{
	"TestAttack":                              220 * time.Second,
	"TestStats_MatchSystemTools":              160 * time.Second,
	"TestReport_OfClosedLoop":                 130 * time.Second,
	"TestGuard_EnforcesDuringOutage":          100 * time.Second,
	"TestSampler_HostileMetricsDelayNoSample": 70 * time.Second,
	"TestReadme_ClosesLoop":                   60 * time.Second,
	"TestRestart_ContinuesHold":               50 * time.Second,
	"TestDiscovery_SwitchesSources":           50 * time.Second,
	"TestVerdict_ContainedUntilRestart":       45 * time.Second,
	"TestRestart_AdoptsCeilingLeftInForce":    45 * time.Second,
	"TestAdaptive_LowersTrafficToThreshold":   40 * time.Second,
	"TestGuard_WritesToTargetOnly":            40 * time.Second,
	"TestOverrides_ChangeRealCgroup":          40 * time.Second,
	"TestDashboard_QueriesReturnData":         35 * time.Second,
	"TestGuard_WaitsForCgroup2":               35 * time.Second,
	"TestVerdict_Harmed":                      35 * time.Second,
	"TestRestart_ContinuesYielding":           35 * time.Second,
	"TestCeiling_HoldsUnderShortPeriods":      35 * time.Second,
	"TestClosedLoop_AppliesAndReleases":       35 * time.Second,
}

// usualTest is about how long any other test takes.
const usualTest = 10 * time.Second

// test is a test of a test binary.
type test struct{ binary, name string }

func (t test) takes() time.Duration { return cmp.Or(longTests[t.name], usualTest) }

// share divides tests among machines so that they are done at about the same time. The order of the tests is kept.
func share(tests []test, machines int) [][]test {
	shares, taken := make([][]test, machines), make([]time.Duration, machines)

	longestFirst := slices.Clone(tests)
	slices.SortStableFunc(longestFirst, func(a, b test) int { return cmp.Compare(b.takes(), a.takes()) })

	of := map[test]int{}

	for _, t := range longestFirst {
		least := slices.Index(taken, slices.Min(taken))
		of[t] = least
		taken[least] += t.takes()
	}

	for _, t := range tests {
		shares[of[t]] = append(shares[of[t]], t)
	}

	return shares
}

// selection is the tests of a binary that match a regular expression.
type selection struct{ binary, pattern string }

// divide returns the tests that each of a number of machines runs.
func divide(ctx context.Context, binaries []string, pattern string, machines int) ([][]selection, error) {
	if machines == 1 {
		var all []selection
		for _, binary := range binaries {
			all = append(all, selection{binary, pattern})
		}

		return [][]selection{all}, nil
	}

	var tests []test

	for _, binary := range binaries {
		found, err := list(ctx, binary, pattern)
		if err != nil {
			return nil, err
		}

		tests = append(tests, found...)
	}

	if len(tests) == 0 {
		return nil, fmt.Errorf("no test matches %q", pattern)
	}

	var divided [][]selection

	for _, tests := range share(tests, min(machines, len(tests))) {
		divided = append(divided, selections(tests))
	}

	return divided, nil
}

// selections returns those that select tests and no others, by binary.
func selections(tests []test) []selection {
	var (
		binaries []string
		names    = map[string][]string{}
	)

	for _, t := range tests {
		if names[t.binary] == nil {
			binaries = append(binaries, t.binary)
		}

		names[t.binary] = append(names[t.binary], t.name)
	}

	selected := make([]selection, len(binaries))
	for i, binary := range binaries {
		selected[i] = selection{binary, "^(" + strings.Join(names[binary], "|") + ")$"}
	}

	return selected
}

// list returns the tests of a binary that match a regular expression.
func list(ctx context.Context, binary, pattern string) ([]test, error) {
	var errs bytes.Buffer

	cmd := exec.CommandContext(ctx, binary, "-test.list", cmp.Or(pattern, "."))
	cmd.Stderr = &errs

	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("failed to list the tests of %s: %w: %s", binary, err, &errs)
	}

	var tests []test

	for name := range strings.FieldsSeq(string(output)) {
		if strings.HasPrefix(name, "Test") {
			tests = append(tests, test{binary, name})
		}
	}

	return tests, nil
}
