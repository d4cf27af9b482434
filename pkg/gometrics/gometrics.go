// SPDX-License-Identifier: MPL-2.0

// Package gometrics reads what a Go program tells of itself at /metrics, in Prometheus' text format, as
// little of it as is needed and whatever it answers: it may be slow, endless, or not what it should be.
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
)

// Limits of one answer. Spegel's is about 60 kB in lines of at most 300 bytes.
const (
	// MaxBody is the most that is read of an answer, in bytes.
	MaxBody = 4 << 20
	// MaxLine is the longest line, in bytes.
	MaxLine = 16 << 10
	// MaxSeries is how many lines of interest there may be.
	MaxSeries = 4096
	// Timeout is the longest that one answer may take, from the connection to its last byte.
	Timeout = 3 * time.Second
)

// Errors of an answer.
var (
	ErrTooLarge  = fmt.Errorf("the answer is larger than %d bytes", MaxBody)
	ErrLongLine  = fmt.Errorf("the answer has a line longer than %d bytes", MaxLine)
	ErrTooMany   = fmt.Errorf("the answer has more than %d series of interest", MaxSeries)
	ErrNoMetrics = errors.New("the answer is not in Prometheus' text format")
	// ErrTimeout says that the answer was not complete in time.
	ErrTimeout = fmt.Errorf("no complete answer within %s", Timeout)
)

// Dial connects to an address.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Client asks one program. Its connection is kept between questions.
type Client struct {
	http *http.Client
	base string
}

// NewClient returns a client for what listens on a port of the loopback that dial reaches.
func NewClient(dial Dial, port int) *Client {
	return &Client{
		base: "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		http: &http.Client{
			Transport: &http.Transport{
				DialContext: dial,
				// A compressed answer could unfold to any size.
				DisableCompression:     true,
				MaxResponseHeaderBytes: MaxLine,
				MaxConnsPerHost:        2,
				MaxIdleConns:           1,
				IdleConnTimeout:        time.Minute,
			},
			// An answer that points elsewhere is not the program's own.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close closes the connection that is kept.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Metrics asks for the metrics at a path.
func (c *Client) Metrics(ctx context.Context, path string) (Metrics, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Timeout, ErrTimeout)
	defer cancel()

	response, err := c.get(ctx, path)
	if err != nil {
		return Metrics{}, fmt.Errorf("error reading %s: %w", path, err)
	}

	defer response.Body.Close() //nolint:errcheck // read only

	metrics, err := parseResponse(response)
	if err != nil {
		return Metrics{}, fmt.Errorf("error reading %s: %w", path, told(ctx, err))
	}

	return metrics, nil
}

func parseResponse(response *http.Response) (Metrics, error) {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || kind != "text/plain" && kind != "application/openmetrics-text" {
		return Metrics{}, fmt.Errorf("%w: its type is %s", ErrNoMetrics, clip(response.Header.Get("Content-Type")))
	}

	return Parse(response.Body)
}

// Save copies an answer as it is, for a person to look at, and gives up at the limit.
func (c *Client) Save(ctx context.Context, path string, w io.Writer, limit int64) error {
	response, err := c.get(ctx, path)
	if err != nil {
		return fmt.Errorf("error reading %s: %w", path, err)
	}

	defer response.Body.Close() //nolint:errcheck // read only

	n, err := io.Copy(w, io.LimitReader(response.Body, limit+1))

	switch {
	case err != nil:
		return fmt.Errorf("error reading %s: %w", path, told(ctx, err))
	case n > limit:
		return fmt.Errorf("error reading %s: the answer is larger than %d bytes", path, limit)
	default:
		return nil
	}
}

func (c *Client) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}

	request.Header.Set("User-Agent", "spegel-guard")
	request.Header.Set("Accept", "text/plain;version=0.0.4")

	response, err := c.http.Do(request)
	if err != nil {
		return nil, told(ctx, err)
	}

	if response.StatusCode != http.StatusOK {
		response.Body.Close() //nolint:errcheck // the other error counts

		return nil, fmt.Errorf("the answer's status is %d", response.StatusCode)
	}

	return response, nil
}

// told is the error in few words: net/http repeats the address and says "context deadline exceeded".
func told(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrTimeout) {
		return ErrTimeout
	}

	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}

	return err
}

// clip shortens what the program said: it is shown to people, and may be anything.
func clip(text string) string {
	const most = 80

	if len(text) > most {
		text = text[:most]
	}

	return strconv.Quote(text)
}
