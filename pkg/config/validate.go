// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"
	"net"
	"net/url"
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
	maxCapacity      = 24 * time.Hour
	minDip, maxDip   = 0.01, 0.5
	minShare         = 0.01
	minStep, maxStep = 0.1, 0.95
	maxFactor        = 10
	minTrace         = 64 << 10
	maxTrace         = 1 << 30
	maxExpression    = 1024

	minMetrics, maxMetrics   = time.Second, time.Minute
	maxProfile               = 30 * time.Second
	minEvidence, maxEvidence = 64 << 10, 16 << 20
)

// MaxMillicores is the most that any ceiling may be.
const MaxMillicores = maxCPU

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
	v.evidence(cfg.Evidence)
	v.trace(cfg.Trace)
	v.api(cfg.API)
	v.exporter(cfg.Metrics, cfg.API)

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

	if target.Metrics.Port.invalid != "" {
		v.reject("target.metrics.port", target.Metrics.Port.invalid, "a port of 1..65535, or 0 for none")
	}

	if path, err := url.Parse(target.Metrics.Path); err != nil || !strings.HasPrefix(target.Metrics.Path, "/") || path.Host != "" {
		v.reject("target.metrics.path", target.Metrics.Path, "a path that starts with /")
	}

	v.duration("target.metrics.interval", target.Metrics.Interval, minMetrics, maxMetrics)
}

func (v *validator) evidence(evidence Evidence) {
	if evidence.Profile.Duration != 0 || evidence.Profile.invalid != "" {
		v.duration("evidence.profile", evidence.Profile, time.Second, maxProfile)
	}

	if limit := evidence.Limit; limit.invalid != "" || limit.Duration != 0 || limit.Bytes != 0 && (limit.Bytes < minEvidence || limit.Bytes > maxEvidence) {
		v.reject("evidence.limit", limit, "an amount of 64Ki..16Mi bytes, or 0 for no evidence")
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

		v.rule(field, rule, interval)
	}
}

// rule checks the one of the three ways that the rule is written in.
func (v *validator) rule(field string, rule Rule, interval time.Duration) {
	if rule.Mode != "" {
		oneOf(v, field+"mode", rule.Mode, ModeObserve, ModeEnforce)
	}

	v.duration(field+"window", rule.Window, max(time.Second, 2*interval), maxWindow)

	switch {
	case !rule.Expression.IsZero() || rule.Expression.invalid != "":
		v.expression(field, rule)
	case !rule.Credit.IsZero():
		oneOf(v, field+"signal", rule.Signal, Signals()...)
		v.credit(field, rule)
	default:
		oneOf(v, field+"signal", rule.Signal, Signals()...)
		v.threshold(field+"threshold", rule.Signal, rule.Threshold)
	}

	if !rule.Release.IsZero() {
		v.threshold(field+"release", rule.Signal, rule.Release)

		if rule.Release.Value > rule.Limit() {
			v.reject(field+"release", rule.Release, "at most the threshold")
		}
	}

	v.duration(field+"for", rule.For, 0, maxFor)
	v.share(field+"dip", rule.Dip, 0, maxDip)

	// Less could not be told apart over the time that `for` looks back.
	if rule.Dip.Value > 0 && rule.Dip.Value < minDip {
		v.reject(field+"dip", rule.Dip, fmt.Sprintf("0 or a share of %v..%v", minDip, maxDip))
	}
}

func (v *validator) expression(field string, rule Rule) {
	if rule.Expression.invalid != "" || len(rule.Expression.text) > maxExpression {
		v.reject(field+"expression", rule.Expression, "a condition in CEL over "+signalNames()+" ("+rule.Expression.invalid+")")
	}

	v.unused(field+"signal", string(rule.Signal), "an expression")
	v.unused(field+"threshold", rule.Threshold.text+rule.Threshold.invalid, "an expression")
	v.unused(field+"release", rule.Release.text+rule.Release.invalid, "an expression")
	v.unused(field+"credit", rule.Credit.Earn.text+rule.Credit.Capacity.text, "an expression")
}

func (v *validator) credit(field string, rule Rule) {
	v.threshold(field+"credit.earn", rule.Signal, rule.Credit.Earn)
	v.unused(field+"threshold", rule.Threshold.text+rule.Threshold.invalid, "a credit")

	capacity := rule.Credit.Capacity

	switch {
	case rule.Signal.Bytes() && (capacity.invalid != "" || capacity.Bytes < minRate || capacity.Bytes > maxRate*60):
		v.reject(field+"credit.capacity", capacity, "an amount of 1k..6T bytes")
	case !rule.Signal.Bytes() && (capacity.invalid != "" || capacity.Duration < time.Second || capacity.Duration > maxCapacity):
		v.reject(field+"credit.capacity", capacity, fmt.Sprintf("an amount of time of 1s..%s", maxCapacity))
	}

	if rule.For.Duration != 0 || rule.Dip.Value != 0 {
		v.reject(field+"for", rule.For, "nothing: a credit has its own time")
	}
}

// unused rejects a field that means nothing beside another.
func (v *validator) unused(field, text, beside string) {
	if text != "" {
		v.reject(field, text, "nothing beside "+beside)
	}
}

func signalNames() string {
	names := make([]string, len(Signals()))

	for i, signal := range Signals() {
		names[i] = string(signal)
	}

	return strings.Join(names, ", ")
}

func (v *validator) threshold(field string, signal Signal, t Threshold) {
	allowed, ok := "a quantity", true

	switch signal {
	case SignalCPU:
		allowed = fmt.Sprintf("a quantity of %s..%s cores", CPU{Millicores: minCPU}, CPU{Millicores: maxCPU})
		ok = t.Unit == UnitNumber && t.Value >= minCPU/1e3 && t.Value <= maxCPU/1e3
	case SignalNetworkTX, SignalNetworkRX, SignalAllocation:
		allowed = "a rate of 1k/s..100G/s bytes"
		ok = t.Unit == UnitRate && t.Value >= minRate && t.Value <= maxRate
	case SignalThrottled, SignalCPUPressure:
		allowed = "a share of 1%..100%"
		ok = t.Unit == UnitShare && t.Value >= minShare && t.Value <= 1
	}

	switch {
	case t.invalid != "":
		v.reject(field, t.invalid, allowed)
	case !ok:
		v.reject(field, t, allowed)
	}
}

func (v *validator) share(field string, value Share, low, high float64) {
	allowed := fmt.Sprintf("a share of %v..%v", low, high)

	switch {
	case value.invalid != "":
		v.reject(field, value.invalid, allowed)
	case !(value.Value >= low && value.Value <= high): // also what is not a number
		v.reject(field, value, allowed)
	}
}

func (v *validator) ceiling(ceiling Ceiling) {
	v.cpu("ceiling.floor", ceiling.Floor, minCPU)
	v.cpu("ceiling.cpu", ceiling.CPU, max(minCPU, ceiling.Floor.Millicores))
	oneOf(v, "ceiling.strategy", ceiling.Strategy, StrategyFixed, StrategyAdaptive)
	v.share("ceiling.step", ceiling.Step, minStep, maxStep)
	v.duration("ceiling.hold", ceiling.Hold, minHold, maxHold)
	v.duration("ceiling.releaseAfter", ceiling.ReleaseAfter, minHold, maxHold)
	v.duration("ceiling.backoff.max", ceiling.Backoff.Max, max(minHold, ceiling.Hold.Duration), maxHold)
	oneOf(v, "ceiling.conflict", ceiling.Conflict, ConflictReassert, ConflictYield)
	oneOf(v, "ceiling.onStop", ceiling.OnStop, StopRelease, StopKeep)

	if ceiling.Probe.Duration != 0 || ceiling.Probe.invalid != "" {
		v.duration("ceiling.probe", ceiling.Probe, minHold, maxWindow)
	}

	if factor := ceiling.Backoff.Factor; factor.invalid != "" || !(factor.Value >= 1 && factor.Value <= maxFactor) {
		v.reject("ceiling.backoff.factor", factor, fmt.Sprintf("a number of 1..%d", maxFactor))
	}
}

func (v *validator) trace(trace Trace) {
	if trace.Path != "" && !filepath.IsAbs(trace.Path) {
		v.reject("trace.path", trace.Path, "an absolute path, or nothing")
	}

	if trace.Limit.invalid != "" || trace.Limit.Bytes < minTrace || trace.Limit.Bytes > maxTrace {
		v.reject("trace.limit", trace.Limit, "an amount of 64Ki..1Gi bytes")
	}
}

func (v *validator) api(api API) {
	v.tls("api.tls", api.TLS)

	if api.TLS.Source == TLSNone {
		return
	}

	v.listen("api.listen", api.Listen)

	// Other guards take requests on behalf of somebody from impersonators alone, and files bring no such certificate.
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

	// Both have been checked.
	_, port, _ := net.SplitHostPort(exporter.Listen)
	_, taken, _ := net.SplitHostPort(api.Listen)

	if port == taken && api.TLS.Source != TLSNone {
		v.reject("metrics.listen", exporter.Listen, "another port than api.listen")
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
