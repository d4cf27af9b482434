// SPDX-License-Identifier: MPL-2.0

package metrics

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
	"github.com/spegel-guard/spegel-guard/internal/remote"
)

// scrapes counts the requests in progress of each host, so that one cannot take the place of the others.
type scrapes struct {
	mu    sync.Mutex
	hosts map[string]int
}

// bound serves at most maxScrapesPerHost requests of a host at a time.
func (s *scrapes) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var host string

		if address, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			host = remote.Host(net.TCPAddrFromAddrPort(address))
		}

		if !s.count(host, 1) {
			http.Error(w, fmt.Sprintf("%d scrapes of the address are in progress: try again later", maxScrapesPerHost), http.StatusServiceUnavailable)

			return
		}

		defer s.count(host, -1)

		next.ServeHTTP(w, r)
	})
}

// count adds to the requests of a host. It reports whether they stay within the bound.
func (s *scrapes) count(host string, by int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.hosts[host]+by > maxScrapesPerHost {
		return false
	}

	if s.hosts == nil {
		s.hosts = map[string]int{}
	}

	bounded.Count(s.hosts, host, by)

	return true
}
