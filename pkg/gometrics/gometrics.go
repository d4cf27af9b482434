// SPDX-License-Identifier: MPL-2.0

// Package gometrics reads the metrics of a Go process, and spegel's, in Prometheus' text format. It bounds time and memory
// whatever the process answers.
package gometrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/internal/task"
)

// Limits of one answer. Spegel's is about 60 kB in lines of at most 300 bytes.
const (
	// MaxBody is the largest answer, in bytes.
	MaxBody = 4 << 20
	// MaxLine is the longest line, in bytes.
	MaxLine = 16 << 10
	// MaxSeries is the largest number of series that are parsed. Spegel has a few for each registry.
	MaxSeries = 1024
	// MaxSeriesLine is the longest line of such a series, in bytes, and MaxLabels the largest number of its labels: a parser
	// compares each label with all others of its line.
	MaxSeriesLine = 1 << 10
	MaxLabels     = 12
	// Timeout of one answer, from the connection to its last byte.
	Timeout = 3 * time.Second
)

// Errors of an answer that is not used.
var (
	ErrTooLarge  = fmt.Errorf("the answer is larger than %d bytes", MaxBody)
	ErrLongLine  = fmt.Errorf("the answer has a line longer than %d bytes", MaxLine)
	ErrLabels    = fmt.Errorf("the answer has a series of interest with more than %d labels or %d bytes", MaxLabels, MaxSeriesLine)
	ErrTooMany   = fmt.Errorf("the answer has more than %d series of interest", MaxSeries)
	ErrNoMetrics = errors.New("the answer is not in Prometheus' text format")
	ErrTimeout   = fmt.Errorf("no complete answer within %s", Timeout)
)

// Dial connects to an address, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Client reads the metrics of one process. It keeps its connection between requests.
type Client struct {
	http *http.Client
	base string
}

// NewClient returns a client for the process that listens on a port of the loopback interface that dial reaches.
func NewClient(dial Dial, port int) *Client {
	return &Client{
		base: "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		http: &http.Client{
			Transport: &http.Transport{
				// net/http dials in a goroutine of its own, which does not end with the request.
				DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
					ctx, cancel := context.WithTimeoutCause(ctx, Timeout, ErrTimeout)
					defer cancel()

					err = task.Step("connect to the target", func() (err error) {
						conn, err = dial(ctx, network, address)

						return err
					})

					// It ends when the request does, and either error may be returned.
					if err != nil && ctx.Err() != nil {
						err = context.Cause(ctx)
					}

					return conn, err
				},
				// A compressed answer has no known size.
				DisableCompression:     true,
				MaxResponseHeaderBytes: MaxLine,
				MaxConnsPerHost:        2,
				MaxIdleConns:           1,
				IdleConnTimeout:        time.Minute,
			},
			// A redirect would leave the process.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close closes the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Metrics reads the metrics at a path. It writes the answer to copied while it reads, also of one that is not used; nil for no copy.
func (c *Client) Metrics(ctx context.Context, path string, copied io.Writer) (Metrics, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Timeout, ErrTimeout)
	defer cancel()

	response, err := c.get(ctx, path)
	if err != nil {
		return Metrics{}, fmt.Errorf("failed to read %s: %w", path, err)
	}

	defer response.Body.Close() //nolint:errcheck // read only

	metrics, err := parseResponse(response, copied)
	if err != nil {
		return Metrics{}, fmt.Errorf("failed to read %s: %w", path, concise(ctx, err))
	}

	return metrics, nil
}

func parseResponse(response *http.Response, copied io.Writer) (Metrics, error) {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || kind != "text/plain" && kind != "application/openmetrics-text" {
		return Metrics{}, fmt.Errorf("%w: its type is %s", ErrNoMetrics, clip(response.Header.Get("Content-Type")))
	}

	if copied == nil {
		return Parse(response.Body)
	}

	return Parse(io.TeeReader(response.Body, copied))
}

// Save copies the answer at a path to w unchanged. It returns an error when the answer is larger than limit bytes.
func (c *Client) Save(ctx context.Context, path string, w io.Writer, limit int64) error {
	response, err := c.get(ctx, path)
	if err != nil {
		return fmt.Errorf("failed to read %s: %w", path, err)
	}

	defer response.Body.Close() //nolint:errcheck // read only

	n, err := io.Copy(w, io.LimitReader(response.Body, limit+1))

	switch {
	case err != nil:
		return fmt.Errorf("failed to read %s: %w", path, concise(ctx, err))
	case n > limit:
		return fmt.Errorf("failed to read %s: the answer is larger than %d bytes", path, limit)
	default:
		return nil
	}
}

func (c *Client) get(ctx context.Context, path string) (*http.Response, error) {
	response, err := c.do(ctx, path)
	if err != nil {
		return nil, err
	}

	if response.StatusCode != http.StatusOK {
		response.Body.Close() //nolint:errcheck // the status is the error

		return nil, fmt.Errorf("the answer's status is %d", response.StatusCode)
	}

	return response, nil
}

// do sends a request and returns its answer, whatever the status.
func (c *Client) do(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}

	request.Header.Set("User-Agent", "spegel-guard")
	request.Header.Set("Accept", "text/plain;version=0.0.4")

	response, err := c.http.Do(request)
	if err != nil {
		return nil, concise(ctx, err)
	}

	return response, nil
}

// maxError is the longest text of an error, in bytes. It becomes the reason of every value, at each scrape.
const maxError = 200

// concise returns the cause of an error of net/http, which repeats the address, hides the timeout, and quotes a header line of
// the process of any length.
func concise(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrTimeout) {
		return ErrTimeout
	}

	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}

	return longError{err}
}

// longError is an error of whose text only the beginning is shown.
type longError struct{ error }

// Error implements error.
func (e longError) Error() string { return printable.Clip(e.error.Error(), maxError) }

// Unwrap returns the error as it was.
func (e longError) Unwrap() error { return e.error }

// clip quotes and shortens text from the process for messages.
func clip(text string) string {
	const most = 80

	if len(text) > most {
		text = text[:most]
	}

	return strconv.Quote(text)
}
