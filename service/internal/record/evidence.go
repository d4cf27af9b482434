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

// EvidenceKept is how many captures there are at most; the oldest gives way.
const EvidenceKept = 4

// profileSlack is what a profile may take beyond its own time.
const profileSlack = 3 * time.Second

// EvidenceTimeout is the longest that a capture takes.
func EvidenceTimeout(cfg config.Evidence) time.Duration {
	if cfg.Profile.Duration == 0 {
		return gometrics.Timeout
	}

	return gometrics.Timeout + cfg.Profile.Duration + profileSlack
}

// Evidence keeps captures in folders of their own below Dir, which is best in memory (/run).
type Evidence struct {
	Dir string
}

// Source is what a capture asks: see gometrics.Client.
type Source interface {
	Save(ctx context.Context, path string, w io.Writer, limit int64) error
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// Capture asks for the metrics, and for a processor profile where that is configured, and returns the
// folder it kept them in. When only a part could be had, both the folder and the error are set.
func (s *Evidence) Capture(ctx context.Context, source Source, target string, metrics config.Metrics, cfg config.Evidence) (string, error) {
	name := time.Now().UTC().Format("20060102T150405.000000000Z") + "-" + unsafe.ReplaceAllString(target, "_")
	dir := filepath.Join(s.Dir, name)

	if err := s.prune(EvidenceKept - 1); err != nil {
		return "", err
	}

	if err := errors.Join(os.MkdirAll(s.Dir, 0o700), os.Mkdir(dir, 0o700)); err != nil {
		return "", fmt.Errorf("error making room for evidence: %w", err)
	}

	limit := int64(cfg.Limit.Bytes)

	errs := save(ctx, source, gometrics.Timeout, metrics.Path, filepath.Join(dir, "metrics.txt"), limit)

	if seconds := int(cfg.Profile.Seconds()); seconds > 0 {
		path := fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds)
		errs = errors.Join(errs, save(ctx, source, cfg.Profile.Duration+profileSlack, path, filepath.Join(dir, "cpu.pprof"), limit))
	}

	// An empty folder is no evidence.
	if os.Remove(dir) == nil {
		return "", errs
	}

	return dir, errs
}

// save keeps an answer, or nothing of it.
func save(ctx context.Context, source Source, timeout time.Duration, path, name string, limit int64) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("error keeping evidence: %w", err)
	}

	err = source.Save(ctx, path, file, limit)

	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}

	return nil
}

// prune removes the oldest captures but as many as are to stay: their names begin with the time.
func (s *Evidence) prune(stay int) error {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}

	if err != nil {
		return fmt.Errorf("error listing earlier evidence: %w", err)
	}

	names := make([]string, len(entries))

	for i, entry := range entries {
		names[i] = entry.Name()
	}

	slices.Sort(names)

	for _, name := range names[:max(0, len(names)-stay)] {
		if err := os.RemoveAll(filepath.Join(s.Dir, name)); err != nil {
			return fmt.Errorf("error removing earlier evidence: %w", err)
		}
	}

	return nil
}
