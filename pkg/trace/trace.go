// SPDX-License-Identifier: MPL-2.0

// Package trace is the record of the policy's input: JSON, one object per line, of samples and the configuration that
// decided on them.
//
// A trace replays to the same decisions, or shows what another configuration would have decided. The
// package opens no file: it reads from a reader and returns the lines to write.
package trace

//go:generate go run ../../test/traces -dir testdata

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Version of the format; it stands in every header.
const Version = 1

// maxLine is the longest line in bytes. A header holds a configuration document, which Talos bounds, too.
const maxLine = 1 << 20

// Line is one line: either a header or a sample.
type Line struct {
	Header *Header `json:"header,omitempty"`
	Sample *Sample `json:"sample,omitempty"`
}

// Header is the configuration that decided on the samples after it. A trace begins with one, and has one wherever the
// configuration changed.
type Header struct {
	Version int `json:"version"`
	// Config is the document (YAML).
	Config string `json:"config"`
	// Seed of the credits.
	Seed uint64 `json:"seed,omitempty"`
}

// Sample is one reading of one workload.
type Sample struct {
	Workload string `json:"workload"`
	// Container changes when the workload is restarted and its counters begin at zero.
	Container string `json:"container,omitempty"`
	policy.Sample
}

// Encode returns the JSON of a line, with its line feed.
func Encode(line Line) ([]byte, error) {
	data, err := json.Marshal(line)
	if err != nil {
		return nil, fmt.Errorf("failed to encode a trace line: %w", err)
	}

	return append(data, '\n'), nil
}

// ErrVersion is returned for a trace of another version of the format.
var ErrVersion = errors.New("the trace has another version of the format")

// ErrNoHeader is returned for a trace that does not begin with a header.
var ErrNoHeader = errors.New("a trace begins with a header")

// Read reads a trace line by line. An error names the line and is the last element. A line that was cut off is left out,
// because a recorder can be stopped while it writes: one that does not parse at the very end, or before the header of the
// next process.
func Read(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		lines := &lineReader{in: bufio.NewReaderSize(r, 64<<10)}

		for {
			line, err := lines.next()

			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(Line{}, fmt.Errorf("failed to read trace line %d: %w", lines.number, err))

				return
			case !yield(line, nil):
				return
			}
		}
	}
}

type lineReader struct {
	in     *bufio.Reader
	number int
	begun  bool
}

// next returns the next whole line, or io.EOF.
func (l *lineReader) next() (Line, error) {
	for {
		l.number++

		data, readErr := readLine(l.in)
		if readErr != nil && (!errors.Is(readErr, io.EOF) || len(data) == 0) {
			return Line{}, readErr
		}

		if len(bytes.TrimSpace(data)) == 0 {
			continue
		}

		line, err := decode(data)

		switch {
		case err == nil && !l.begun && line.Header == nil:
			return Line{}, ErrNoHeader
		case err == nil:
			l.begun = true

			return line, nil
		case !l.begun || errors.Is(err, ErrVersion) || readErr == nil && !l.beginsAgain():
			return Line{}, err
		}
	}
}

// beginsAgain reports whether the next line is a header.
func (l *lineReader) beginsAgain() bool {
	const begin = `{"header":`

	next, err := l.in.Peek(len(begin))

	return err == nil && string(next) == begin
}

func readLine(reader *bufio.Reader) ([]byte, error) {
	var line []byte

	for {
		part, err := reader.ReadSlice('\n')
		line = append(line, part...)

		if len(line) > maxLine {
			return nil, fmt.Errorf("longer than %d bytes", maxLine)
		}

		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func decode(data []byte) (Line, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()

	var line Line

	if err := decoder.Decode(&line); err != nil {
		// A header of another version may have other fields.
		if other := versionOf(data); other != nil {
			return Line{}, other
		}

		return Line{}, err
	}

	if err := decoder.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return Line{}, errors.New("more than one object in the line")
	}

	switch {
	case (line.Header == nil) == (line.Sample == nil):
		return Line{}, errors.New("a line is either a header or a sample")
	case line.Header != nil && line.Header.Version != Version:
		return Line{}, versionOf(data)
	case line.Sample != nil && line.Sample.Workload == "":
		return Line{}, errors.New("sample without a workload")
	default:
		return line, nil
	}
}

// versionOf returns ErrVersion for a header of another version, whatever else it has.
func versionOf(data []byte) error {
	var line struct {
		Header *struct {
			Version int `json:"version"`
		} `json:"header"`
	}

	err := json.Unmarshal(data, &line)

	switch {
	case err != nil || line.Header == nil || line.Header.Version == Version:
		err = nil // it has no other version
	case line.Header.Version > Version:
		err = fmt.Errorf("%w: version %d of a newer spegel-guard, this program reads version %d: use the newer spegelguardctl",
			ErrVersion, line.Header.Version, Version)
	default:
		err = fmt.Errorf("%w: version %d, this program reads version %d", ErrVersion, line.Header.Version, Version)
	}

	return err
}
