// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"fmt"
	"os"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/regular"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

// recorder writes what the policy sees to a file, for replay. Guarding does not depend on it: one that
// fails says so once and stays silent until it is configured anew.
type recorder struct {
	config config.Trace
	header trace.Header
	file   *os.File
	size   int64
	failed bool
}

// configure takes a new configuration in force. Recording goes on in the same file.
func (r *recorder) configure(cfg config.Trace, header trace.Header) {
	if cfg.Path != r.config.Path {
		r.close()
	}

	r.config, r.header, r.failed = cfg, header, false

	// Before the first sample the file is not there, and gets its header when it is opened.
	if r.file != nil {
		r.failed = r.write(trace.Line{Header: &r.header}) != nil
	}
}

func (r *recorder) close() {
	if r.file != nil {
		r.file.Close() //nolint:errcheck // every line was written at once
		r.file = nil
	}
}

// wanted tells whether samples are to be recorded.
func (r *recorder) wanted() bool { return r.config.Path != "" && !r.failed }

// record writes one sample, when they are wanted.
func (r *recorder) record(sample *trace.Sample, logger *zap.Logger) {
	if !r.wanted() {
		return
	}

	err := r.open()
	if err == nil {
		err = r.write(trace.Line{Sample: sample})
	}

	if err != nil {
		r.failed = true
		r.close()
		logger.Error("recording the trace stops", zap.String("path", r.config.Path), zap.Error(err))
	}
}

// open makes sure that there is a file with room, and a header in it.
func (r *recorder) open() error {
	if r.file != nil && r.size < int64(r.config.Limit.Bytes) {
		return nil
	}

	r.close()

	if info, err := os.Stat(r.config.Path); err == nil && info.Size() >= int64(r.config.Limit.Bytes) {
		if err := os.Rename(r.config.Path, r.config.Path+".1"); err != nil {
			return fmt.Errorf("error putting the full trace aside: %w", err)
		}
	}

	// A pipe would hold the policy until somebody reads it.
	file, info, err := regular.Open(r.config.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("error opening the trace, trace.path must name a file: %w", err)
	}

	r.file, r.size = file, info.Size()

	// What an earlier process wrote last may have been cut off: it must not take the header with it.
	if r.size > 0 {
		n, err := r.file.WriteString("\n")
		if r.size += int64(n); err != nil {
			return fmt.Errorf("error writing the trace: %w", err)
		}
	}

	return r.write(trace.Line{Header: &r.header})
}

func (r *recorder) write(line trace.Line) error {
	data, err := trace.Encode(line)
	if err != nil {
		return err
	}

	n, err := r.file.Write(data)
	r.size += int64(n)

	if err != nil {
		return fmt.Errorf("error writing the trace: %w", err)
	}

	return nil
}
