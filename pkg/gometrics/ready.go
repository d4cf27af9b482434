// SPDX-License-Identifier: MPL-2.0

package gometrics

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// Ready asks a path whether the process is ready: 200 is ready; a status from 500 on, or no answer on an open connection,
// is not. It returns an error when the process could not be asked: it accepts no connection, or its status is another one,
// which a wrong path or port has.
func (c *Client) Ready(ctx context.Context, path string) (bool, error) {
	var connected atomic.Bool

	asking, cancel := context.WithTimeoutCause(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// A kept connection may be closed by now: net/http then tries a new one.
		GetConn: func(string) { connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}), Timeout, ErrTimeout)
	defer cancel()

	response, err := c.do(asking, path)

	switch {
	case err != nil && connected.Load() && ctx.Err() == nil:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("failed to read %s: %w", path, err)
	}

	response.Body.Close() //nolint:errcheck // the status is the answer

	switch status := response.StatusCode; {
	case status == http.StatusOK:
		return true, nil
	case status >= http.StatusInternalServerError:
		return false, nil
	default:
		return false, fmt.Errorf("failed to read %s: the answer's status is %d, which says nothing about being ready", path, status)
	}
}
