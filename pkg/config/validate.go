package config

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of the fields.
const (
	minInterval, maxInterval = 100 * time.Millisecond, time.Minute
	maxFor                   = 24 * time.Hour
	maxWindow                = time.Hour
	minHold, maxHold         = time.Second, 24 * time.Hour
	maxRules                 = 16

	// 10m is the least the kernel takes with the usual period: 1 ms of quota in 100 ms.
	minCPU, maxCPU   = 10, 1024_000
	minRate, maxRate = 1e3, 1e11
)

var ruleName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

type validator struct {
	errs Errors
}

func (v *validator) reject(field string, value any, allowed string) {
	v.errs = append(v.errs, FieldError{Field: field, Value: fmt.Sprint(value), Allowed: allowed})
}

func oneOf[T ~string](v *validator, field string, value T, allowed ...T) {
	if !slices.Contains(allowed, value) {
		names := make([]string, len(allowed))

		for i := range allowed {
			names[i] = string(allowed[i])
		}

		v.reject(field, value, strings.Join(names, " or "))
	}
}

func (v *validator) duration(field string, value Duration, low, high time.Duration) {
	allowed := fmt.Sprintf("a duration of %s..%s", low, high)

	switch {
	case value.invalid != "":
		v.reject(field, value.invalid, allowed)
	case value.Duration < low || value.Duration > high:
		v.reject(field, value, allowed)
	}
}

func (v *validator) cpu(field string, value CPU, low int64) {
	allowed := fmt.Sprintf("a quantity of %s..%s cores", CPU{Millicores: low}, CPU{Millicores: maxCPU})

	switch {
	case value.invalid != "":
		v.reject(field, value.invalid, allowed)
	case value.Millicores < low || value.Millicores > maxCPU:
		v.reject(field, value, allowed)
	}
}

func validate(cfg Config) Errors {
	v := &validator{}

	oneOf(v, "apiVersion", cfg.APIVersion, APIVersion)
	oneOf(v, "kind", cfg.Kind, Kind)
	oneOf(v, "mode", cfg.Mode, ModeObserve, ModeEnforce)
	v.duration("interval", cfg.Interval, minInterval, maxInterval)

	v.target(cfg.Target)
	v.rules(cfg.Rules, cfg.Interval.Duration)
	v.ceiling(cfg.Ceiling)
	v.api(cfg.API)

	return v.errs
}

func (v *validator) target(target Target) {
	if len(target.PodLabels) == 0 {
		v.reject("target.podLabels", "", "at least one label, or every pod would be a target")
	}

	if target.Container == "" {
		v.reject("target.container", "", "a container name")
	}

	if target.Process == "" || strings.ContainsRune(target.Process, '/') {
		v.reject("target.process", target.Process, "an executable's base name")
	}
}

func (v *validator) rules(rules []Rule, interval time.Duration) {
	if len(rules) == 0 || len(rules) > maxRules {
		v.reject("rules", len(rules), fmt.Sprintf("1..%d rules", maxRules))
	}

	seen := map[string]bool{}

	for i, rule := range rules {
		field := "rules[" + strconv.Itoa(i) + "]."

		if !ruleName.MatchString(rule.Name) {
			v.reject(field+"name", rule.Name, "a name matching "+ruleName.String())
		}

		if seen[rule.Name] {
			v.reject(field+"name", rule.Name, "a name no other rule has")
		}

		seen[rule.Name] = true

		oneOf(v, field+"signal", rule.Signal, SignalCPU, SignalNetworkTX)
		v.threshold(field+"threshold", rule.Signal, rule.Threshold)
		v.duration(field+"for", rule.For, 0, maxFor)
		v.duration(field+"window", rule.Window, max(time.Second, 2*interval), maxWindow)
	}
}

func (v *validator) threshold(field string, signal Signal, t Threshold) {
	allowed, ok := "a quantity", true

	switch signal {
	case SignalCPU:
		allowed = fmt.Sprintf("a quantity of %s..%s cores", CPU{Millicores: minCPU}, CPU{Millicores: maxCPU})
		ok = !t.Rate && t.Value >= minCPU/1e3 && t.Value <= maxCPU/1e3
	case SignalNetworkTX:
		allowed = "a rate of 1k/s..100G/s bytes"
		ok = t.Rate && t.Value >= minRate && t.Value <= maxRate
	}

	switch {
	case t.invalid != "":
		v.reject(field, t.invalid, allowed)
	case !ok:
		v.reject(field, t, allowed)
	}
}

func (v *validator) ceiling(ceiling Ceiling) {
	v.cpu("ceiling.floor", ceiling.Floor, minCPU)
	v.cpu("ceiling.cpu", ceiling.CPU, max(minCPU, ceiling.Floor.Millicores))
	v.duration("ceiling.hold", ceiling.Hold, minHold, maxHold)
	v.duration("ceiling.releaseAfter", ceiling.ReleaseAfter, minHold, maxHold)
	oneOf(v, "ceiling.onStop", ceiling.OnStop, StopRelease, StopKeep)
}

func (v *validator) api(api API) {
	oneOf(v, "api.tls.source", api.TLS.Source, TLSNone, TLSFiles)

	if api.TLS.Source != TLSFiles {
		return
	}

	_, port, err := net.SplitHostPort(api.Listen)
	if number, convErr := strconv.ParseUint(port, 10, 16); err != nil || convErr != nil || number == 0 {
		v.reject("api.listen", api.Listen, "host:port with a port of 1..65535, the host may be empty")
	}

	for field, path := range map[string]string{"ca": api.TLS.CA, "cert": api.TLS.Cert, "key": api.TLS.Key} {
		if !filepath.IsAbs(path) {
			v.reject("api.tls."+field, path, "the absolute path of a PEM file")
		}
	}
}
