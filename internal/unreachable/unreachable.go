// SPDX-License-Identifier: MPL-2.0

// Package unreachable names the cause why a connection to a guard fails, with what to do about it. The command line and the
// guards that forward requests use the same words.
package unreachable

import (
	"regexp"
	"strings"
)

// Cause is why a server cannot be reached. It is an error, for errors.Is.
type Cause struct {
	text string
	// parts of the text of an error that has this cause, as Go, gRPC and the operating systems write them.
	parts []string
}

// address stands for the server's address in the text of a cause.
const address = "{address}"

// Error implements error, without an address.
func (c *Cause) Error() string { return c.At("the guard's port") }

// At returns the cause and what to do, with the address of the server.
func (c *Cause) At(server string) string { return strings.ReplaceAll(c.text, address, server) }

// RenewCertificate says how to get another client certificate. Talos signs one for a client that it accepts only.
const RenewCertificate = "create a talosconfig with talosctl config new from a valid one, or with talosctl gen config --with-secrets"

// Causes.
var (
	// ErrTooManyFiles: this process has no more file descriptors.
	ErrTooManyFiles = &Cause{
		text:  "this machine has no file descriptor for a connection (too many open files): raise the limit to 4096 (ulimit -n), or select fewer nodes",
		parts: []string{"too many open files", "WSAEMFILE", "file table overflow"},
	}
	// ErrRefused: nothing listens at the address.
	ErrRefused = &Cause{
		text: "nothing listens on " + address + ": is the extension running, is the firewall open?",
		// Linux and macOS, Windows.
		parts: []string{"connection refused", "actively refused"},
	}
	// ErrNoAnswer: no packet comes back.
	ErrNoAnswer = &Cause{
		text: "no answer from " + address + ": is the node up, is the firewall open?",
		parts: []string{
			"i/o timeout", "no route to host", "network is unreachable", "host is down", "connection timed out", "deadline exceeded",
			"did not properly respond", "unreachable host", "unreachable network", "keepalive ping failed",
		},
	}
	// ErrUnknownName: DNS has no address for the name, or does not answer.
	ErrUnknownName = &Cause{
		text:  "DNS does not resolve this name: correct it, or use the node's address",
		parts: []string{": lookup "},
	}
	// ErrServerNotTrusted: the server's certificate is of another CA.
	ErrServerNotTrusted = &Cause{
		text:  "the node's certificate is not of the CA in the talosconfig: is it the context of this cluster (--context)?",
		parts: []string{"certificate signed by unknown authority", "certificate is not trusted"},
	}
	// ErrServerExpired: the server's certificate is not valid at this time.
	ErrServerExpired = &Cause{
		text:  "the node's certificate has expired or is not valid yet: compare the clocks of this machine and of the node (talosctl time)",
		parts: []string{"certificate has expired or is not yet valid"},
	}
	// ErrServerName: the server's certificate is for other names and addresses.
	ErrServerName = &Cause{
		text:  "the node's certificate is not for this name or address: use another one of the node, or add it to machine.certSANs",
		parts: []string{"certificate is valid for", "cannot validate certificate for", "certificate is not valid for any names"},
	}
	// ErrClientExpired: the client's certificate is not valid any more, or not yet. TLS has one alert for both.
	ErrClientExpired = &Cause{
		text: "the client certificate has expired or is not valid yet by the node's clock: " + RenewCertificate + ", or compare the clocks of this " +
			"machine and of the node (talosctl time)",
		parts: []string{"remote error: tls: expired certificate"},
	}
	// ErrClientNotTrusted: the server does not accept the client's certificate.
	ErrClientNotTrusted = &Cause{
		text: "the node does not accept the client certificate: is it the context of this cluster (--context)? If the CA was rotated, " + RenewCertificate,
		parts: []string{
			"remote error: tls: unknown certificate authority", "remote error: tls: bad certificate", "remote error: tls: certificate required",
			"remote error: tls: unknown certificate", "remote error: tls: certificate unknown",
		},
	}
	// ErrNoGuard: another program listens at the address.
	ErrNoGuard = &Cause{
		text: "the server at " + address + " is no guard: the guard's port is 50321",
		parts: []string{
			"does not look like a TLS handshake", "unexpected HTTP status code", "error reading server preface: http2", "missing HTTP content-type",
			"missing selected ALPN property", "no application protocol",
		},
	}
	// ErrConnectionLost: a connection that was established ended before the response.
	ErrConnectionLost = &Cause{
		text:  "the connection to " + address + " was lost before the response: has the guard or the node stopped?",
		parts: []string{"error reading from server"},
	}
)

// The order matters where a text has parts of two: an alert of the server comes before what else the text has, and a lookup before why
// the DNS server did not answer. A lost connection can have every other cause.
var causes = []*Cause{
	ErrTooManyFiles, ErrClientExpired, ErrClientNotTrusted, ErrServerNotTrusted, ErrServerExpired, ErrServerName, ErrNoGuard, ErrUnknownName, ErrRefused, ErrNoAnswer,
	ErrConnectionLost,
}

// transport is in the errors that gRPC itself makes. What a server says of its own connections is not about this one.
var transport = regexp.MustCompile(`connection error: desc|error reading from server|keepalive ping failed|unexpected HTTP status code|missing HTTP content-type`)

// Through begins the errors of a guard that forwards requests. What follows is about its connection to another guard.
const Through = "this is node "

// Of returns the cause in the text of an error of gRPC's transport; nil without one. gRPC keeps the text of such an error only.
func Of(text string) *Cause {
	if strings.HasPrefix(text, Through) || !transport.MatchString(text) {
		return nil
	}

	for _, cause := range causes {
		for _, part := range cause.parts {
			if strings.Contains(text, part) {
				return cause
			}
		}
	}

	return nil
}
