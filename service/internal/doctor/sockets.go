// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"context"
	"net"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

const dialTimeout = 2 * time.Second

// socket checks that a process listens on a unix socket. If none does, the check has the given state and fix.
func socket(ctx context.Context, name, path, state, fix string) Check {
	if path == "" {
		return Check{Name: name, State: resources.CheckSkipped, Message: "not used"}
	}

	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()

	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return Check{Name: name, State: state, Message: err.Error(), Fix: fix}
	}

	conn.Close() //nolint:errcheck // nothing was sent

	return Check{Name: name, State: resources.CheckOK, Message: path}
}

// savedState checks that holds and overrides can be saved.
func (d Doctor) savedState() Check {
	const name = "saved state"

	if d.Saved == "" {
		return Check{Name: name, State: resources.CheckSkipped, Message: "no state is saved over a restart (flag -state)"}
	}

	if err := writable(d.Saved); err != nil {
		return Check{
			Name: name, State: resources.CheckWarning, Message: d.Saved + ": " + err.Error(),
			Fix: "mount /run/spegel-guard into the service read-write; without it a restart ends holds and overrides",
		}
	}

	return Check{Name: name, State: resources.CheckOK, Message: d.Saved}
}
