// SPDX-License-Identifier: MPL-2.0

// Package hostile serves invalid /metrics for tests of their reader.
package hostile

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Mode is a kind of invalid answer.
type Mode string

// Modes of Handler.
const (
	HugeBody     Mode = "huge-body"
	EndlessLine  Mode = "endless-line"
	OneByte      Mode = "one-byte-per-second"
	Silent       Mode = "silent"
	NaN          Mode = "nan"
	Negative     Mode = "negative"
	CounterReset Mode = "counter-reset"
	HTML         Mode = "html"
	HugeHeader   Mode = "huge-header"
	Compressed   Mode = "compressed"
	ManyLabels   Mode = "many-labels"
	// LongHeaderLine is a header line that is not one, of characters that are quoted as four each.
	LongHeaderLine Mode = "long-header-line"
)

// Modes returns all modes.
func Modes() []Mode {
	return []Mode{
		HugeBody, EndlessLine, OneByte, Silent, NaN, Negative, CounterReset, HTML, HugeHeader, Compressed, ManyLabels, LongHeaderLine,
	}
}

const (
	textFormat = "text/plain; version=0.0.4; charset=utf-8"
	gigabyte   = 1 << 30
)

// Handler returns a handler that answers every request in a mode.
func Handler(mode Mode) http.Handler {
	var asked atomic.Uint64

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", textFormat)

		switch mode {
		case HugeBody:
			flood(w, r, []byte("some_metric{label=\"value\"} 12345\n"))
		case EndlessLine:
			flood(w, r, []byte("go_goroutines"))
		case OneByte:
			drip(w, r)
		case Silent:
			<-r.Context().Done()
		case NaN:
			program(w, "NaN")
		case Negative:
			program(w, "-1")
		case CounterReset:
			// The counter falls at every other answer.
			program(w, fmt.Sprint(1e9+1e9*float64(asked.Add(1)%2)))
		case HTML:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html><body>go_memstats_alloc_bytes_total 5</body></html>") //nolint:errcheck // the client may be gone
		case HugeHeader:
			w.Header().Set("X-Filler", string(bytes.Repeat([]byte("x"), 1<<20)))
			program(w, "1")
		case LongHeaderLine:
			raw(w, "HTTP/1.1 200 OK\r\n"+strings.Repeat("\x01", 15<<10)+"\r\n\r\n")
		case ManyLabels:
			labels(w)
		case Compressed:
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}) //nolint:errcheck // the client may be gone
		}
	})
}

// raw answers with text that net/http would not send, and closes the connection.
func raw(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack() //nolint:forcetypeassert // net/http's is one
	if err != nil {
		return
	}

	conn.Write([]byte(text)) //nolint:errcheck // the client may be gone
	conn.Close()             //nolint:errcheck // the same
}

// program answers like a Go program, with one invalid value.
func program(w http.ResponseWriter, allocated string) {
	fmt.Fprintf(w, "go_goroutines 10\ngo_gc_duration_seconds_count 5\ngo_memstats_heap_alloc_bytes 1000000\n"+ //nolint:errcheck // the client may be gone
		"go_memstats_alloc_bytes_total %s\n", allocated)
}

// labels answers with 4 MB of legal lines of 16 KiB, each a value that is wanted with thousands of labels.
func labels(w http.ResponseWriter) {
	var line bytes.Buffer

	line.WriteString("go_memstats_alloc_bytes_total{")

	for i := 0; line.Len() < 16<<10-64; i++ {
		fmt.Fprintf(&line, "l%d=\"\",", i)
	}

	line.WriteString("} 5\n")

	for sent := 0; sent < 4<<20; sent += line.Len() {
		if _, err := w.Write(line.Bytes()); err != nil {
			return
		}
	}
}

// flood answers with a gigabyte of repeated text.
func flood(w http.ResponseWriter, r *http.Request, text []byte) {
	block := bytes.Repeat(text, 4096)

	for sent := 0; sent < gigabyte && r.Context().Err() == nil; sent += len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// drip answers one byte each second.
func drip(w http.ResponseWriter, r *http.Request) {
	for {
		if _, err := w.Write([]byte("g")); err != nil {
			return
		}

		w.(http.Flusher).Flush() //nolint:forcetypeassert // net/http's is one

		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Second):
		}
	}
}
