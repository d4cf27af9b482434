// SPDX-License-Identifier: MPL-2.0

package unreachable_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/unreachable"
)

// TestOf takes the texts from Go's own errors, so that another wording is noticed.
func TestOf(t *testing.T) {
	dial := func(err error) string {
		return fmt.Sprintf("connection error: desc = \"transport: Error while dialing: %s\"", &net.OpError{Op: "dial", Net: "tcp", Err: err})
	}
	connect := func(errno syscall.Errno) string { return dial(os.NewSyscallError("connect", errno)) }
	handshake := func(err error) string {
		return fmt.Sprintf("connection error: desc = \"transport: authentication handshake failed: %s\"", err)
	}
	alert := func(number uint8) string {
		return fmt.Sprintf("connection error: desc = \"error reading server preface: %s\"", &net.OpError{Op: "remote error", Err: tls.AlertError(number)})
	}
	read := func(errno syscall.Errno) string {
		return (&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", errno)}).Error()
	}
	certificate := &x509.Certificate{DNSNames: []string{"a"}}

	for name, test := range map[string]struct {
		text string
		want *unreachable.Cause
	}{
		"no descriptor":         {dial(os.NewSyscallError("socket", syscall.EMFILE)), unreachable.ErrTooManyFiles},
		"refused":               {connect(syscall.ECONNREFUSED), unreachable.ErrRefused},
		"refused on Windows":    {dial(errors.New("connectex: No connection could be made because the target machine actively refused it.")), unreachable.ErrRefused},
		"no route":              {connect(syscall.EHOSTUNREACH), unreachable.ErrNoAnswer},
		"no network":            {connect(syscall.ENETUNREACH), unreachable.ErrNoAnswer},
		"TCP timeout":           {connect(syscall.ETIMEDOUT), unreachable.ErrNoAnswer},
		"dial timeout":          {dial(os.ErrDeadlineExceeded), unreachable.ErrNoAnswer},
		"handshake timeout":     {handshake(context.DeadlineExceeded), unreachable.ErrNoAnswer},
		"unknown name":          {dial(&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}), unreachable.ErrUnknownName},
		"DNS is silent":         {dial(&net.DNSError{Err: "read udp 10.0.0.2:1->10.0.0.1:53: i/o timeout", Name: "x", IsTimeout: true}), unreachable.ErrUnknownName},
		"DNS fails":             {dial(&net.DNSError{Err: "server misbehaving", Name: "x", Server: "10.0.0.1:53"}), unreachable.ErrUnknownName},
		"DNS refuses":           {dial(&net.DNSError{Err: "read udp 10.0.0.2:1->10.0.0.1:53: read: connection refused", Name: "x", Server: "10.0.0.1:53"}), unreachable.ErrUnknownName},
		"other CA":              {handshake(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), unreachable.ErrServerNotTrusted},
		"server expired":        {handshake(x509.CertificateInvalidError{Reason: x509.Expired}), unreachable.ErrServerExpired},
		"other name":            {handshake(x509.HostnameError{Certificate: certificate, Host: "b"}), unreachable.ErrServerName},
		"no address in it":      {handshake(x509.HostnameError{Certificate: certificate, Host: "10.0.0.1"}), unreachable.ErrServerName},
		"no TLS":                {handshake(tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}), unreachable.ErrNoGuard},
		"bad certificate":       {alert(42), unreachable.ErrClientNotTrusted},
		"expired":               {alert(45), unreachable.ErrClientExpired},
		"unknown CA":            {alert(48), unreachable.ErrClientNotTrusted},
		"certificate required":  {alert(116), unreachable.ErrClientNotTrusted},
		"other alert":           {alert(80), nil},
		"connection ended":      {"error reading from server: EOF", unreachable.ErrConnectionLost},
		"connection reset":      {"error reading from server: " + read(syscall.ECONNRESET), unreachable.ErrConnectionLost},
		"guard stopped":         {"closing transport due to: connection error: desc = \"error reading from server: EOF\", received prior goaway", unreachable.ErrConnectionLost},
		"no packet any more":    {"keepalive ping failed to receive ACK within timeout", unreachable.ErrNoAnswer},
		"TCP timeout of a read": {"error reading from server: " + read(syscall.ETIMEDOUT), unreachable.ErrNoAnswer},
		"of the guard":          {"failed to read the metrics: " + syscall.ECONNREFUSED.Error(), nil},
		"of another guard":      {"this is node cp-1; it cannot reach w-1: " + alert(45), nil},
		"nothing":               {"", nil},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, unreachable.Of(test.text), test.text) })
	}
}

func TestCause_NamesTheAddress(t *testing.T) {
	assert.Equal(t, "nothing listens on 10.0.0.1:50321: is the extension running, is the firewall open?", unreachable.ErrRefused.At("10.0.0.1:50321"))
	assert.EqualError(t, unreachable.ErrNoAnswer, "no answer from the guard's port: is the node up, is the firewall open?")
}
