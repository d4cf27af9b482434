// SPDX-License-Identifier: MPL-2.0

package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestCertificateCheck(t *testing.T) {
	now := time.Date(2026, 1, 5, 3, 4, 5, 0, time.UTC)
	hours := func(h int) time.Time { return now.Add(time.Duration(h) * time.Hour) }

	for name, test := range map[string]struct {
		before, after time.Time
		role          string
		state, fix    string
	}{
		"valid":         {hours(-1), hours(1000), "os:admin", resources.CheckOK, ""},
		"expired":       {hours(-2), hours(-1), "os:admin", resources.CheckFailed, "it has expired"},
		"expires soon":  {hours(-2), hours(20), "os:admin", resources.CheckWarning, "it expires in"},
		"not valid yet": {hours(1), hours(1000), "os:admin", resources.CheckFailed, "it is not valid before 2026-01-05T04:04:05Z"},
		"without roles": {hours(-1), hours(1000), "people", resources.CheckFailed, "none of Talos' roles"},
	} {
		t.Run(name, func(t *testing.T) {
			check := certificateCheck(&x509.Certificate{
				Subject: pkix.Name{CommonName: "anna", Organization: []string{test.role}}, NotBefore: test.before, NotAfter: test.after,
			}, now)

			assert.Equal(t, test.state, check.GetState())
			assert.Contains(t, check.GetFix(), test.fix)
			assert.Equal(t, test.fix == "", check.GetFix() == "")
		})
	}
}
