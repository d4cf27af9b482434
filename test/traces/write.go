// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"math"
	"os"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

func header(document string) trace.Line {
	return trace.Line{Header: &trace.Header{Version: trace.Version, Config: document, Seed: seed}}
}

// line is a sample of the pod of spegel with a suffix.
func line(suffix string, sample policy.Sample) trace.Line {
	return trace.Line{Sample: &trace.Sample{Workload: "spegel/spegel-" + suffix + "/registry", Container: "c1", Sample: rounded(sample)}}
}

// rounded keeps what the kernel's files would have: microseconds and bytes.
func rounded(s policy.Sample) policy.Sample {
	micro := func(v float64) float64 { return math.Round(v*1e6) / 1e6 }

	s.CPU.Total, s.Pressure.Total, s.ThrottledTime = micro(s.CPU.Total), micro(s.Pressure.Total), micro(s.ThrottledTime)
	s.TX.Total, s.RX.Total, s.Allocation.Total = math.Round(s.TX.Total), math.Round(s.RX.Total), math.Round(s.Allocation.Total)

	return s
}

func write(path string, lines []trace.Line) error {
	var text bytes.Buffer

	for _, l := range lines {
		data, err := trace.Encode(l)
		if err != nil {
			return err
		}

		text.Write(data)
	}

	return os.WriteFile(path, text.Bytes(), 0o644)
}
