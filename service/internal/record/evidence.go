// SPDX-License-Identifier: MPL-2.0

package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
)

// EvidenceKept is how many captures a directory keeps. The oldest are removed.
const EvidenceKept = 4

// profileSlack is the time for a profile beyond its own duration, to start it and to send it.
const profileSlack = 3 * time.Second

// EvidenceTimeout returns how long a capture takes at most.
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
}

// Source serves the HTTP endpoints of a target.
type Source interface {
	// Save writes the response for path to w. It fails if the response is longer than limit bytes.
	Save(ctx context.Context, path string, w io.Writer, limit int64) error
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// Capture saves a target's evidence and returns the directory. If only a part was saved it returns the directory and an
// error, and "" if nothing was.
func (s *Evidence) Capture(ctx context.Context, source Source, target string, metrics config.Metrics, cfg config.Evidence) (string, error) {
	name := time.Now().UTC().Format("20060102T150405.000000000Z") + "-" + unsafe.ReplaceAllString(target, "_")
	dir := filepath.Join(s.Dir, name)

	if err := s.prune(EvidenceKept - 1); err != nil {
		return "", err
	}

	if err := errors.Join(os.MkdirAll(s.Dir, 0o700), os.Mkdir(dir, 0o700)); err != nil {
		return "", fmt.Errorf("failed to create the directory for evidence: %w", err)
	}

	limit := int64(cfg.Limit.Bytes)

	errs := save(ctx, source, gometrics.Timeout, metrics.Path, filepath.Join(dir, "metrics.txt"), limit)

	if seconds := int(cfg.Profile.Seconds()); seconds > 0 {
		path := fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds)
		errs = errors.Join(errs, save(ctx, source, cfg.Profile.Duration+profileSlack, path, filepath.Join(dir, "cpu.pprof"), limit))
	}

	// os.Remove succeeds only if the directory is empty.
	if os.Remove(dir) == nil {
		return "", errs
	}

	return dir, errs
}

// save writes the response of one endpoint to a file. A file that fails half-way is removed.
func save(ctx context.Context, source Source, timeout time.Duration, path, name string, limit int64) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("failed to save evidence: %w", err)
	}

	err = source.Save(ctx, path, file, limit)

	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}

	return nil
}

// prune removes all captures except the newest.
func (s *Evidence) prune(newest int) error {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}

	if err != nil {
		return fmt.Errorf("failed to list earlier evidence: %w", err)
	}

	names := make([]string, len(entries))

	for i, entry := range entries {
		names[i] = entry.Name()
	}

	slices.Sort(names)

	for _, name := range names[:max(0, len(names)-newest)] {
		if err := os.RemoveAll(filepath.Join(s.Dir, name)); err != nil {
			return fmt.Errorf("failed to remove earlier evidence: %w", err)
		}
	}

	return nil
}
