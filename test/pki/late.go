// SPDX-License-Identifier: MPL-2.0

package pki

import (
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// handshakeTimeout is how long a guard waits for a handshake; guards of tests may wait longer.
const handshakeTimeout = 5 * time.Second

// IsLate reports whether a call failed because the machine stood still during its handshake. A refusal is an alert of TLS, which the
// error names unless it is lost, and takes no time.
func IsLate(err error, took time.Duration) bool {
	return status.Code(err) == codes.Unavailable && took >= handshakeTimeout && !strings.Contains(err.Error(), "tls:")
}
