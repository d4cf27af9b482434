// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/printable"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// csvTitles name the unit of each column.
var csvTitles = []string{
	"node", "target", "at", "over_seconds", "cpu_cores", "tx_bytes_per_second", "rx_bytes_per_second", "alloc_bytes_per_second", "throttled_ratio",
}

// csvPrinter prints histories as RFC 4180 says, with a header.
type csvPrinter struct {
	w     *csv.Writer
	begun bool
}

func newCSV(w io.Writer) *csvPrinter {
	writer := csv.NewWriter(w)
	writer.UseCRLF = true

	return &csvPrinter{w: writer}
}

// Print implements output.Printer.
func (p *csvPrinter) Print(items ...output.Item) error {
	var records [][]string

	if !p.begun {
		p.begun = true
		records = append(records, csvTitles)
	}

	for _, item := range items {
		history, ok := item.Value.(*guardv1alpha1.History)
		if !ok {
			return fmt.Errorf("failed to write %T as CSV", item.Value)
		}

		for _, series := range historySeries(history) {
			for _, point := range series.GetPoints() {
				records = append(records, csvRecord(item.Node, targetName(series), point))
			}
		}
	}

	return p.w.WriteAll(records)
}

func csvRecord(node, target string, p *guardv1alpha1.Point) []string {
	at := ""

	// The node's clock may not be set.
	if p.GetAt() != nil {
		at = p.GetAt().AsTime().Format(time.RFC3339)
	}

	record := []string{csvText(node), csvText(target), at, strconv.FormatFloat(p.GetOver().AsDuration().Seconds(), 'g', -1, 64)}

	for _, value := range []*float64{p.CpuCores, p.TxBytesPerSecond, p.RxBytesPerSecond, p.AllocBytesPerSecond, p.ThrottledRatio} {
		cell := ""
		if value != nil {
			// Averages over a minute have seven digits.
			cell = strconv.FormatFloat(*value, 'g', 7, 64)
		}

		record = append(record, cell)
	}

	return record
}

// csvText returns a text of a node as a cell. A spreadsheet takes some first characters for those of a formula, and runs it; no name of
// Kubernetes begins with one.
func csvText(text string) string {
	text = printable.Line(text)

	if text != "" && strings.ContainsRune("=+-@", rune(text[0])) {
		return "'" + text
	}

	return text
}
