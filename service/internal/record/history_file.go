// SPDX-License-Identifier: MPL-2.0

package record

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

const (
	// saveInterval is how often the history is saved: a process that is killed loses so much of it.
	saveInterval = 5 * time.Minute
	// blockMinutes is how many averages over a minute an entry of the file has. A damaged entry costs an hour.
	blockMinutes = 60
	// minuteSize is the size of a saved minute in bytes.
	minuteSize = 32
	// maxName is the most that the name of a target can have, in bytes.
	maxName = 1024
)

// HistoryFile saves a History, at most 1.8 MB with usual names of pods: 2.8 kB for each hour of each series.
type HistoryFile = persist.File[HistoryBlock]

// HistoryBlock is an entry of the file: at most an hour of a target, or of the node if the target is empty.
type HistoryBlock struct {
	Target string `json:"target"`
	// Minutes are little-endian structs of an int64 (end in nanoseconds since the boot) and six float32: seconds covered, cores, TX,
	// RX and allocation in bytes per second, share of throttled periods. NaN is unavailable.
	Minutes []byte `json:"minutes"`
}

// IsZero implements persist.Entry.
func (b HistoryBlock) IsZero() bool { return len(b.Minutes) == 0 }

// Check returns policy.ErrOutOfBounds for a block that no process of this boot has saved.
func (b HistoryBlock) Check(now time.Duration) error {
	if len(b.Target) > maxName {
		return fmt.Errorf("target is %w: %d bytes, must be at most %d", policy.ErrOutOfBounds, len(b.Target), maxName)
	}

	minutes, err := b.decode()
	if err != nil {
		return err
	}

	for i, m := range minutes {
		at, over := time.Duration(m.At), float64(m.Over)

		if math.IsNaN(over) || over < 1 || over > at.Seconds()+1 || at <= 0 || at > now {
			return fmt.Errorf("minutes[%d] ends at %s after the boot and covers %gs: %w: must be after the boot and before %s", i, at, m.Over, policy.ErrOutOfBounds, now)
		}

		for _, figure := range m.figures() {
			if figure < 0 || figure > maxFigure {
				return fmt.Errorf("minutes[%d] has the value %g: %w: must be 0..%g or NaN", i, figure, policy.ErrOutOfBounds, maxFigure)
			}
		}
	}

	return nil
}

// maxFigure is above what any node does, in cores and bytes per second.
const maxFigure = 1e15

func (b HistoryBlock) decode() ([]minute, error) {
	if len(b.Minutes)%minuteSize != 0 || len(b.Minutes) > blockMinutes*minuteSize {
		return nil, fmt.Errorf("minutes are %w: %d bytes, must be a multiple of %d up to %d", policy.ErrOutOfBounds, len(b.Minutes), minuteSize, blockMinutes*minuteSize)
	}

	minutes := make([]minute, len(b.Minutes)/minuteSize)

	return minutes, binary.Read(bytes.NewReader(b.Minutes), binary.LittleEndian, minutes)
}

// Run saves the history each five minutes, and when the context ends. Targets that ended a day ago are forgotten. Now is the time
// on CLOCK_BOOTTIME. It returns the error of a save that failed.
func (h *History) Run(ctx context.Context, file HistoryFile, now func() time.Duration) error {
	ticker := time.NewTicker(saveInterval)
	defer ticker.Stop()

	for {
		select {
		case <-ctx.Done():
			h.completePoints()

			return h.save(file, now())
		case <-ticker.C:
			if err := h.save(file, now()); err != nil {
				return err
			}
		}
	}
}

// completePoints adds the points that wait for a scrape to their minutes: none comes any more.
func (h *History) completePoints() {
	h.mu.Lock()
	defer h.mu.Unlock()

	for _, s := range h.series {
		s.complete(s.unscraped)
	}
}

func (h *History) save(file HistoryFile, now time.Duration) error {
	blocks, err := h.blocks(now)
	if err != nil {
		return err
	}

	return file.Save(blocks)
}

// blocks returns the averages of all series by the name of their entry.
func (h *History) blocks(now time.Duration) (map[string]HistoryBlock, error) {
	blocks := map[string]HistoryBlock{}

	for target, minutes := range h.snapshot(now) {
		part := 0

		for chunk := range slices.Chunk(minutes, blockMinutes) {
			data, err := binary.Append(nil, binary.LittleEndian, chunk)
			if err != nil {
				return nil, fmt.Errorf("failed to encode the history of %q: %w", target, err)
			}

			blocks[fmt.Sprintf("%s#%02d", target, part)] = HistoryBlock{Target: target, Minutes: data}
			part++
		}
	}

	return blocks, nil
}

// snapshot copies the averages, so that no sample waits for the file.
func (h *History) snapshot(now time.Duration) map[string][]minute {
	h.mu.Lock()
	defer h.mu.Unlock()

	maps.DeleteFunc(h.series, func(_ string, s *series) bool { return s.ended && now-s.last() > HistoryKept })

	all := make(map[string][]minute, len(h.series))

	for target, s := range h.series {
		all[target] = s.minutes.all()
	}

	return all
}

// Restore loads what an earlier process of this boot saved. Its targets have ended until a sample of theirs comes. Now is the time on
// CLOCK_BOOTTIME. The error names the entries that cannot be loaded; the others are loaded.
func (h *History) Restore(file HistoryFile, now time.Duration) error {
	file.Check = func(b HistoryBlock) error { return b.Check(now) }

	blocks, err := file.Load()
	h.restore(blocks, now)

	return err
}

// restore takes blocks that were checked.
func (h *History) restore(blocks map[string]HistoryBlock, now time.Duration) {
	all := map[string][]minute{}

	for _, block := range blocks {
		if minutes, err := block.decode(); err == nil {
			all[block.Target] = append(all[block.Target], minutes...)
		}
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	h.series = map[string]*series{nodeSeries: {}}

	for target, minutes := range all {
		s := &series{ended: target != nodeSeries}

		for _, m := range ordered(minutes, now) {
			s.minutes.add(m, HistoryMinutes)
		}

		if s.last() > 0 {
			h.series[target] = s
		}
	}

	for _, excess := range bounded.Excess(h.series, HistoryTargets, endedAt) {
		delete(h.series, excess)
	}
}

// ordered returns the averages of the last day in the order of their times. Of those that overlap the first is kept.
func ordered(minutes []minute, now time.Duration) []minute {
	slices.SortFunc(minutes, func(a, b minute) int { return cmp.Compare(a.At, b.At) })

	var (
		kept []minute
		last time.Duration
	)

	for _, m := range minutes {
		p := m.point()

		// Over is rounded.
		if p.At <= last || p.At-p.Over < last-time.Second || now-p.At > HistoryKept {
			continue
		}

		kept, last = append(kept, m), p.At
	}

	return kept
}
