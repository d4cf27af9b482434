// SPDX-License-Identifier: MPL-2.0

package record

import (
	"fmt"
	"os"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/regular"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

// Trace writes the samples that the policy decides on to a file, for replay. Its failures do not affect the policy: it
// logs the first one and writes nothing until Configure is called again.
//
// A file that reached its limit is renamed to <path>.1, so that two files exist at most.
type Trace struct {
	config config.Trace
	header trace.Header
	file   *os.File
	size   int64
	failed bool
}

// Configure applies a configuration. With the same path the trace continues in the same file under a new header.
func (t *Trace) Configure(cfg config.Trace, header trace.Header) {
	if cfg.Path != t.config.Path {
		t.Close()
	}

	t.config, t.header, t.failed = cfg, header, false

	// Record opens the file with the first sample and writes the header then.
	if t.file != nil {
		t.failed = t.write(trace.Line{Header: &t.header}) != nil
	}
}

// Close closes the file. Record opens it again.
func (t *Trace) Close() {
	if t.file != nil {
		t.file.Close() //nolint:errcheck // each line was written unbuffered
		t.file = nil
	}
}

// Enabled reports whether Record writes samples.
func (t *Trace) Enabled() bool { return t.config.Path != "" && !t.failed }

// Record writes a sample if Enabled.
func (t *Trace) Record(sample *trace.Sample, logger *zap.Logger) {
	if !t.Enabled() {
		return
	}

	err := t.open()
	if err == nil {
		err = t.write(trace.Line{Sample: sample})
	}

	if err != nil {
		t.failed = true
		t.Close()
		logger.Error("failed to record the trace, it is off until the configuration changes", zap.String("path", t.config.Path), zap.Error(err))
	}
}

// open opens a file that has room and begins with a header.
func (t *Trace) open() error {
	if t.file != nil && t.size < int64(t.config.Limit.Bytes) {
		return nil
	}

	t.Close()

	if info, err := os.Stat(t.config.Path); err == nil && info.Size() >= int64(t.config.Limit.Bytes) {
		if err := os.Rename(t.config.Path, t.config.Path+".1"); err != nil {
			return fmt.Errorf("failed to rotate the trace: %w", err)
		}
	}

	// Opening a pipe would block the policy until somebody reads it.
	file, info, err := regular.Open(t.config.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("failed to open the trace, trace.path must name a regular file: %w", err)
	}

	t.file, t.size = file, info.Size()

	// The last line of an earlier process may be cut off. The newline keeps the header out of it.
	if t.size > 0 {
		if err := t.append([]byte("\n")); err != nil {
			return err
		}
	}

	return t.write(trace.Line{Header: &t.header})
}

func (t *Trace) write(line trace.Line) error {
	data, err := trace.Encode(line)
	if err != nil {
		return err
	}

	return t.append(data)
}

func (t *Trace) append(data []byte) error {
	n, err := t.file.Write(data)
	t.size += int64(n)

	if err != nil {
		return fmt.Errorf("failed to write the trace: %w", err)
	}

	return nil
}
