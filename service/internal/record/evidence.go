// SPDX-License-Identifier: MPL-2.0

package record

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
)

// EvidenceKept is how many captures a directory keeps. The oldest are removed.
const EvidenceKept = 4

// ErrCapturing is returned while another capture is in progress, where only one at a time is allowed.
var ErrCapturing = errors.New("evidence is being captured already")

// profileSlack is the time for a profile beyond its own duration, to start it and to send it.
const profileSlack = 3 * time.Second

// EvidenceTimeout returns how long the requests of a capture take at most.
func EvidenceTimeout(cfg config.Evidence) time.Duration {
	if cfg.Profile.Duration == 0 {
		return gometrics.Timeout
	}

	return gometrics.Timeout + cfg.Profile.Duration + profileSlack
}

// Evidence saves a target's metrics and CPU profile, each capture in a directory of its own.
type Evidence struct {
	// Dir holds the captures. It is created when needed.
	Dir string

	mu sync.Mutex
	// last is the sequence of the last capture. A sequence is not used again, also when its folder was removed: an action may name it.
	last uint64
}

// Source serves the HTTP endpoints of a target.
type Source interface {
	// Save writes the response for path to w. It fails if the response is longer than limit bytes.
	Save(ctx context.Context, path string, w io.Writer, limit int64) error
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// Capture saves a target's evidence now and returns the directory. If only a part was saved it returns the directory and an
// error, and "" if nothing was.
func (s *Evidence) Capture(ctx context.Context, source Source, target string, metrics config.Metrics, cfg config.Evidence) (string, error) {
	folder, err := s.Create(target, cfg)
	if err != nil {
		return "", err
	}

	err = folder.Metrics(ctx, source, "metrics.txt", metrics.Path)

	if cfg.Profile.Duration > 0 {
		profile, failure := Profile(ctx, source, cfg)
		if failure == nil {
			failure = folder.Write("cpu.pprof", profile, time.Time{})
		}

		err = errors.Join(err, failure)
	}

	return folder.Finish(), err
}

// Profile profiles a target for evidence.profile and returns the profile, of at most evidence.limit bytes. It uses no file: a ceiling
// waits for it.
func Profile(ctx context.Context, source Source, cfg config.Evidence) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Profile.Duration+profileSlack)
	defer cancel()

	var profile bytes.Buffer

	err := source.Save(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(cfg.Profile.Seconds())), &profile, int64(cfg.Limit.Bytes))
	if err != nil {
		return nil, err
	}

	return profile.Bytes(), nil
}

// Create removes the oldest captures and returns the folder of a new one: <sequence>-<target>. The system's clock may be set at
// any time, so that it does not tell which is older.
func (s *Evidence) Create(target string, cfg config.Evidence) (*Folder, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	last, err := s.prune(EvidenceKept - 1)
	if err != nil {
		return nil, err
	}

	s.last = max(s.last, last) + 1
	dir := filepath.Join(s.Dir, fmt.Sprintf("%06d-%s", s.last, fileName(target)))

	if err := errors.Join(os.MkdirAll(s.Dir, 0o700), os.Mkdir(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("failed to create the directory for evidence: %w", err)
	}

	return &Folder{Dir: dir, config: cfg}, nil
}

// maxFileName leaves room for the sequence: a name of a file has at most 255 bytes.
const maxFileName = 200

// fileName returns a target's id as a part of a file name. The names of a pod and its container have up to 253 and 63 bytes; a long
// id is cut off and ends in a hash of the whole.
func fileName(target string) string {
	name := unsafe.ReplaceAllString(target, "_")
	if len(name) <= maxFileName {
		return name
	}

	hash := sha256.Sum256([]byte(target))

	return name[:maxFileName] + "-" + hex.EncodeToString(hash[:8])
}

// sequenceOf returns the sequence of a capture; 0 for anything else in the directory.
func sequenceOf(name string) uint64 {
	number, _, _ := strings.Cut(name, "-")
	sequence, _ := strconv.ParseUint(number, 10, 63)

	return sequence
}

// prune removes all captures except the newest and returns the sequence of the last.
func (s *Evidence) prune(newest int) (uint64, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}

	if err != nil {
		return 0, fmt.Errorf("failed to list earlier evidence: %w", err)
	}

	last := uint64(0)
	names := make([]string, len(entries))

	for i, entry := range entries {
		names[i] = entry.Name()
		last = max(last, sequenceOf(names[i]))
	}

	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(sequenceOf(a), sequenceOf(b)) })

	for _, name := range names[:max(0, len(names)-newest)] {
		if err := os.RemoveAll(filepath.Join(s.Dir, name)); err != nil {
			return 0, fmt.Errorf("failed to remove earlier evidence: %w", err)
		}
	}

	return last, nil
}
