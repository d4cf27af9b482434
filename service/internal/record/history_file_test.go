// SPDX-License-Identifier: MPL-2.0

package record_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

const savedAt = 4 * time.Hour

func historyFile(t *testing.T) record.HistoryFile {
	t.Helper()

	return record.HistoryFile{Path: filepath.Join(t.TempDir(), "run", "history.json"), BootID: "this"}
}

// save saves a history as the end of the service does.
func save(t *testing.T, history *record.History, file record.HistoryFile, now time.Duration) {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, history.Run(ctx, file, func() time.Duration { return now }))
}

func past(to time.Duration) *record.History {
	history := &record.History{}

	run(history, "spegel/a/registry", 0, to, 0.5)

	for at := time.Second; at <= to; at += record.HistoryStep {
		history.AddNode(&resources.NodeStatsSpec{
			Clock: at, TXBytes: uint64(at.Seconds() * 1.9e6), TXBytesPerSecond: resources.Measured(1.9e6), RXBytesPerSecond: resources.Unavailable("x"),
		})
	}

	return history
}

// TestHistory_LoadsWhatHostileMetricsSaved: a total of the target's own metrics can be any number, and costs no other figure of the hour.
func TestHistory_LoadsWhatHostileMetricsSaved(t *testing.T) {
	for _, total := range []float64{1e20, math.MaxFloat64, math.Inf(1), math.NaN()} {
		t.Run(fmt.Sprint(total), func(t *testing.T) {
			var before, after record.History

			for at := time.Duration(0); at <= 5*time.Minute; at += record.HistoryStep {
				sample := counters(at, 0.5, at)
				if at >= 2*time.Minute {
					sample.Allocation.Total = total
				}

				before.Add("a", "c", sample)
			}

			file := historyFile(t)
			save(t, &before, file, 5*time.Minute)
			require.NoError(t, after.Restore(file, 5*time.Minute))

			points := after.Minutes("a", 0)
			require.Len(t, points, 5)
			assert.Equal(t, text(before.Minutes("a", 0)), text(points))

			for _, p := range points {
				assert.InDelta(t, 0.5, p.CPU, 1e-6)
			}
		})
	}
}

// text writes points so that NaN equals NaN.
func text(points []record.Point) string { return fmt.Sprint(points) }

func TestHistory_ContinuesAfterARestart(t *testing.T) {
	file := historyFile(t)
	before := past(savedAt)
	save(t, before, file, savedAt)

	var history record.History

	require.NoError(t, history.Restore(file, savedAt+10*time.Minute))
	assert.Equal(t, []string{"spegel/a/registry"}, history.Targets())
	assert.Len(t, history.Minutes("spegel/a/registry", 0), int(savedAt/time.Minute))
	assert.Equal(t, text(before.Minutes("spegel/a/registry", 0)), text(history.Minutes("spegel/a/registry", 0)))
	assert.Equal(t, text(before.NodeMinutes(0)[:239]), text(history.NodeMinutes(0)))

	// The samples of this process follow after a gap.
	run(&history, "spegel/a/registry", savedAt+10*time.Minute, savedAt+12*time.Minute, 2)

	points := history.Points("spegel/a/registry", savedAt-time.Minute)
	require.Len(t, points, 13)
	assert.Equal(t, savedAt, points[0].At, "averages over a minute come before the points of this process")
	assert.Equal(t, time.Minute, points[0].Over)
	assert.Equal(t, savedAt+10*time.Minute+record.HistoryStep, points[1].At)
	assert.Equal(t, record.HistoryStep, points[1].Over, "no point covers the gap")

	// A file of another boot is none of this one's.
	file.BootID = "another"
	require.NoError(t, history.Restore(file, savedAt))
	assert.Empty(t, history.Targets())
}

func TestHistory_IsSavedEachFiveMinutes(t *testing.T) {
	file := historyFile(t)

	synctest.Test(t, func(t *testing.T) {
		history, saved := past(time.Hour), &record.History{}
		ended := make(chan error)
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		now := func() time.Duration { return time.Hour + time.Since(start) }

		go func() { ended <- history.Run(ctx, file, now) }()

		time.Sleep(5*time.Minute - time.Second)
		assert.NoFileExists(t, file.Path)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.NoError(t, saved.Restore(file, now()))
		assert.Len(t, saved.Minutes("spegel/a/registry", 0), 60)

		// A target that ended a day ago is forgotten.
		history.Forget("spegel/a/registry")
		time.Sleep(record.HistoryKept)
		cancel()
		require.NoError(t, <-ended)
		assert.Empty(t, history.Targets())
	})
}

// TestHistory_TheFileIsBounded: all places taken, for a day.
func TestHistory_TheFileIsBounded(t *testing.T) {
	file := historyFile(t)
	history := past(record.HistoryKept)

	for i := range record.HistoryTargets {
		run(history, fmt.Sprint("spegel/pod-", i, "/registry"), 0, record.HistoryKept, 1)
	}

	save(t, history, file, record.HistoryKept)

	info, err := os.Stat(file.Path)
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(1_800_000))

	var restored record.History

	require.NoError(t, restored.Restore(file, record.HistoryKept))
	assert.Len(t, restored.Targets(), record.HistoryTargets)
	assert.Len(t, restored.Minutes("spegel/a/registry", 0), record.HistoryMinutes)
}

// TestHistory_ADamagedEntryCostsAnHour of one series.
func TestHistory_ADamagedEntryCostsAnHour(t *testing.T) {
	file := historyFile(t)
	save(t, past(savedAt), file, savedAt)

	data, err := os.ReadFile(file.Path)
	require.NoError(t, err)

	lines := bytes.SplitAfter(data, []byte("\n"))
	lines[len(lines)-3][200] ^= 1
	require.NoError(t, os.WriteFile(file.Path, bytes.Join(lines, nil), 0o600))

	var history record.History

	require.ErrorContains(t, history.Restore(file, savedAt), "its checksum is")
	assert.Len(t, history.Minutes("spegel/a/registry", 0), 3*60)
	assert.Len(t, history.NodeMinutes(0), 239)
}

// block returns an entry with minutes of 32 bytes.
func block(minutes ...[]byte) record.HistoryBlock {
	return record.HistoryBlock{Target: "a/b/c", Minutes: bytes.Join(minutes, nil)}
}

// savedMinute returns the form of a minute in a file.
func savedMinute(at time.Duration, over, cpu float32) []byte {
	data := make([]byte, 0, 32)

	for shift := range 8 {
		data = append(data, byte(at>>(8*shift)))
	}

	for _, value := range []float32{over, cpu, 0, 0, 0, 0} {
		bits := math.Float32bits(value)
		data = append(data, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
	}

	return data
}

func TestHistoryBlock_Check(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))

	for name, test := range map[string]struct {
		block record.HistoryBlock
		want  string
	}{
		"good":              {block(savedMinute(time.Hour, 60, 0.5), savedMinute(2*time.Hour, 60, nan)), ""},
		"after now":         {block(savedMinute(savedAt+1, 60, 0)), "ends at 4h0m0.000000001s"},
		"before the boot":   {block(savedMinute(-time.Hour, 60, 0)), "must be after the boot"},
		"covers nothing":    {block(savedMinute(time.Hour, 0, 0)), "covers 0s"},
		"covers an instant": {block(savedMinute(time.Hour, 1e-20, 0)), "covers 1e-20s"},
		"covers NaN":        {block(savedMinute(time.Hour, nan, 0)), "covers NaN"},
		"covers more":       {block(savedMinute(time.Minute, 3600, 0)), "covers 3600s"},
		"negative":          {block(savedMinute(time.Hour, 60, -1)), "the value -1"},
		"infinite":          {block(savedMinute(time.Hour, 60, inf)), "the value +Inf"},
		"cut off":           {block(savedMinute(time.Hour, 60, 0)[:31]), "31 bytes, must be a multiple of 32"},
		"more than an hour": {block(bytes.Repeat(savedMinute(time.Hour, 60, 0), 61)), "1952 bytes"},
		"a long name":       {record.HistoryBlock{Target: string(make([]byte, 1025))}, "1025 bytes, must be at most 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.block.Check(savedAt)

			if test.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, policy.ErrOutOfBounds)
				require.ErrorContains(t, err, test.want)
			}
		})
	}
}
