// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"context"
	"fmt"
	"net"
	"time"
)

// socket looks whether somebody listens; when not it is as bad as given.
func (d Doctor) socket(ctx context.Context, name, path, bad, fix string) Check {
	check := Check{Name: name, State: OK, Message: path}

	if path == "" {
		check.State, check.Message = Skipped, "not used"

		return check
	}

	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()

	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		check.State, check.Message, check.Fix = bad, err.Error(), fix

		return check
	}

	conn.Close() //nolint:errcheck // nothing was said on it

	return check
}

// remembering looks whether holds and orders survive a restart.
func (d Doctor) remembering() Check {
	check := Check{Name: "memory", State: OK, Message: d.Run}

	if d.Run == "" {
		check.State, check.Message = Skipped, "nothing is remembered over a restart (flag memory)"

		return check
	}

	if err := writable(d.Run); err != nil {
		check.State, check.Message = Warning, d.Run+": "+err.Error()
		check.Fix = "mount /run/spegel-guard into the service, read-write; until then a restart forgets holds and orders"
	}

	return check
}

// expiresSoon returns how long before its end a certificate that was not renewed is reported: a day, or a quarter of
// its time when that is shorter. Talos' are valid for a day and renewed after half of it (internal/app/machined/pkg/controllers/secrets/api.go).
func expiresSoon(notBefore, notAfter time.Time) time.Duration {
	return min(24*time.Hour, notAfter.Sub(notBefore)/4)
}

func (d Doctor) certificates(now time.Time) Check {
	check := Check{Name: "certificates", State: Skipped, Message: "the API is served over the unix socket alone (api.tls.source: none)"}

	if d.Identities == nil {
		return check
	}

	id, _ := d.Identities.Current()
	if id == nil {
		check.State, check.Message = Failed, "there are none yet, so nobody can connect over TCP"
		check.Fix = "see the condition api"

		return check
	}

	left := id.NotAfter.Sub(now).Round(time.Minute)
	check.State, check.Message = OK, fmt.Sprintf("valid until %s", id.NotAfter.UTC().Format(time.RFC3339))

	switch {
	case left <= 0:
		check.State, check.Message = Failed, fmt.Sprintf("expired %s ago", -left)
		check.Fix = "renew the files of api.tls, or see in the condition api why Talos' newest did not arrive"
	case left < expiresSoon(id.NotBefore, id.NotAfter):
		check.State, check.Message = Warning, fmt.Sprintf("expire in %s", left)
		check.Fix = "renew the files of api.tls; Talos' own are renewed by machined"
	}

	return check
}
