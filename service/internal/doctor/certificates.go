// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// certificates checks the validity of the API's certificates.
func (d Doctor) certificates(now time.Time) Check {
	check := Check{Name: "certificates", State: resources.CheckSkipped, Message: "the API is served on the unix socket only (api.tls.source: none)"}

	if d.Identities == nil {
		return check
	}

	id, _ := d.Identities.Current()
	if id == nil {
		check.State, check.Message = resources.CheckFailed, "there are none yet, the API is not served over TCP"
		check.Fix = resources.Fix(resources.ReasonNoCertificate)

		return check
	}

	left := id.NotAfter.Sub(now).Round(time.Minute)

	switch {
	case left <= 0:
		check.State, check.Message = resources.CheckFailed, fmt.Sprintf("expired %s ago", duration.Format(-left))
	case left < warnBefore(id.NotBefore, id.NotAfter):
		check.State, check.Message = resources.CheckWarning, fmt.Sprintf("expire in %s", duration.Format(left))
	default:
		check.State, check.Message = resources.CheckOK, fmt.Sprintf("valid until %s", id.NotAfter.UTC().Format(time.RFC3339))

		return check
	}

	check.Fix = "renew the files of api.tls; for api.tls.source talos, which machined renews, read the condition api"

	return check
}

// warnBefore returns how long before the end of a certificate its missing renewal is reported: a day, or a quarter of
// its validity if that is shorter. Talos' are valid for a day and renewed after half of it
// (internal/app/machined/pkg/controllers/secrets/api.go).
func warnBefore(notBefore, notAfter time.Time) time.Duration {
	return min(24*time.Hour, notAfter.Sub(notBefore)/4)
}
