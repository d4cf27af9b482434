// SPDX-License-Identifier: MPL-2.0

package config

import (
	"net"
	"path/filepath"
	"strconv"
)

func (v *validator) api(api API) {
	v.tls("api.tls", api.TLS)

	if api.TLS.Source == TLSNone {
		return
	}

	v.listen("api.listen", api.Listen)

	// Other guards accept forwarded requests only from Talos' impersonators, and files have no such certificate.
	if api.Forward && api.TLS.Source != TLSTalos {
		v.reject("api.forward", api.Forward, "false, unless api.tls.source is talos")
	}
}

func (v *validator) exporter(exporter Exporter, api API) {
	v.tls("metrics.tls", exporter.TLS)

	if exporter.Listen == "" {
		return
	}

	v.listen("metrics.listen", exporter.Listen)

	// Both were checked above.
	_, port, _ := net.SplitHostPort(exporter.Listen)
	_, taken, _ := net.SplitHostPort(api.Listen)

	if port == taken && api.TLS.Source != TLSNone {
		v.reject("metrics.listen", exporter.Listen, "a port other than api.listen's")
	}
}

func (v *validator) listen(field, address string) {
	_, port, err := net.SplitHostPort(address)
	if number, convErr := strconv.ParseUint(port, 10, 16); err != nil || convErr != nil || number == 0 {
		v.reject(field, address, "host:port with a port of 1..65535, the host may be empty")
	}
}

func (v *validator) tls(field string, tls TLS) {
	oneOf(v, field+".source", tls.Source, TLSTalos, TLSFiles, TLSNone)

	for _, file := range []struct{ field, path string }{{"ca", tls.CA}, {"cert", tls.Cert}, {"key", tls.Key}} {
		switch {
		case tls.Source == TLSFiles && !filepath.IsAbs(file.path):
			v.reject(field+"."+file.field, file.path, "the absolute path of a PEM file")
		case tls.Source != TLSFiles:
			v.unused(field+"."+file.field, file.path, field+".source: "+string(tls.Source))
		}
	}
}
