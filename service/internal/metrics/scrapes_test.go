// SPDX-License-Identifier: MPL-2.0

package metrics

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestScrapes_BoundOneHost: the others are served, and a request that panics gives its place back.
func TestScrapes_BoundOneHost(t *testing.T) {
	var (
		entered = make(chan bool)
		leave   = make(chan bool)
		handler = recovering(new(scrapes).bound(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow":
				entered <- true
				<-leave
			case "/panic":
				panic("scrape")
			}
		})))
	)

	get := func(from, path string) int {
		request, response := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
		request.RemoteAddr = from

		handler.ServeHTTP(response, request)

		return response.Code
	}

	for range 2 * maxScrapesPerHost {
		assert.Equal(t, http.StatusInternalServerError, get("10.0.0.1:1", "/panic"))
	}

	ended := make(chan int)

	for range maxScrapesPerHost {
		go func() { ended <- get("10.0.0.1:2", "/slow") }()

		<-entered
	}

	assert.Equal(t, http.StatusServiceUnavailable, get("10.0.0.1:3", "/"))
	assert.Equal(t, http.StatusOK, get("10.0.0.2:1", "/"))

	close(leave)

	for range maxScrapesPerHost {
		assert.Equal(t, http.StatusOK, <-ended)
	}

	assert.Equal(t, http.StatusOK, get("10.0.0.1:3", "/"))
}
