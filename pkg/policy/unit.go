// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// Unit of a signal's average. Its text is what Prometheus metrics in this unit end with.
type Unit string

// Units.
const (
	Cores          Unit = "cores"
	BytesPerSecond Unit = "bytes_per_second"
	Ratio          Unit = "ratio"
)

// Units returns all units.
func Units() []Unit { return []Unit{Cores, BytesPerSecond, Ratio} }

// Name returns the unit for people: cores, bytes per second, ratio.
func (u Unit) Name() string { return strings.ReplaceAll(string(u), "_", " ") }

// Noise returns the change of a value that is not worth publishing, in the unit; 0 for an unknown unit.
func (u Unit) Noise() float64 {
	switch u {
	case Cores:
		return 0.005
	case BytesPerSecond:
		return 1000
	case Ratio:
		return 0.01
	default:
		return 0
	}
}

// Resolution returns the least difference that Format shows, in the unit; 1 for an unknown unit.
func (u Unit) Resolution() float64 {
	switch u {
	case Cores:
		return 0.001
	case Ratio:
		return 0.01
	default:
		return 1
	}
}

// Format writes a value for people: 1803m, 1.4 MB/s, 37 %. Without a unit it is true above 0.
func (u Unit) Format(value float64) string {
	switch u {
	case Cores:
		return fmt.Sprintf("%.0fm", value*1000)
	case BytesPerSecond:
		return humanize.Bytes(uint64(math.Round(max(0, value)))) + "/s"
	case Ratio:
		return fmt.Sprintf("%.0f %%", value*100)
	default:
		return strconv.FormatBool(value > 0)
	}
}
