// SPDX-License-Identifier: MPL-2.0

package config

import "sync/atomic"

// Active is the configuration in force, parsed once and shared by everything that reads it. Those who share it must
// not change it. The zero Active has none; a nil one parses each time.
type Active struct {
	current atomic.Pointer[active]
}

type active struct {
	document string
	config   Config
}

// Set puts a configuration in force that was parsed before; document is its effective document.
func (a *Active) Set(document string, cfg Config) {
	a.current.Store(&active{document: document, config: cfg})
}

// Parse returns the configuration of an effective document. It parses the document when it is not the one in force.
func (a *Active) Parse(document string) (Config, error) {
	if a == nil {
		return Parse([]byte(document))
	}

	if current := a.current.Load(); current != nil && current.document == document {
		return current.config, nil
	}

	cfg, err := Parse([]byte(document))
	if err != nil {
		return Config{}, err
	}

	a.Set(document, cfg)

	return cfg, nil
}
