// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/internal/words"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Bounds of the fields.
const (
	minInterval, maxInterval = 100 * time.Millisecond, time.Minute
	maxFor                   = 24 * time.Hour
	maxWindow                = time.Hour
	minHold, maxHold         = time.Second, 24 * time.Hour
	maxRules                 = 16

	// 10m is the least that the kernel accepts with the default period: 1 ms of quota in 100 ms.
	minCPU, maxCPU   = 10, 1024_000
	minDip, maxDip   = 0.01, 0.5
	minStep, maxStep = 0.1, 0.95
	maxFactor        = 10
	minTrace         = 64 << 10
	maxTrace         = 1 << 30
	maxExpression    = 1024

	minMetrics, maxMetrics   = time.Second, time.Minute
	maxProfile               = 30 * time.Second
	minEvidence, maxEvidence = 64 << 10, 16 << 20
)

// MaxMillicores is the highest ceiling.
const MaxMillicores = maxCPU

// SavedBounds are what saved state may hold, whatever document was in force when it was saved. Now is the time since the boot.
func SavedBounds(now time.Duration) policy.Bounds {
	return policy.Bounds{Now: now, MaxHold: maxHold, MinMillicores: minCPU, MaxMillicores: maxCPU}
}

var ruleName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

type validator struct {
	errs Errors
}

func (v *validator) reject(field string, value any, allowed string) {
	v.errs = append(v.errs, FieldError{Field: field, Value: fmt.Sprint(value), Allowed: allowed})
}

func oneOf[T ~string](v *validator, field string, value T, allowed ...T) {
	if !slices.Contains(allowed, value) {
		v.reject(field, value, words.Or(allowed))
	}
}

func (v *validator) duration(field string, value Duration, low, high time.Duration) {
	allowed := fmt.Sprintf("a duration of %s..%s", duration.Exact(low), duration.Exact(high))

	switch {
	case value.invalid != "":
		v.reject(field, value.invalid, allowed)
	case value.Duration < low || value.Duration > high:
		v.reject(field, value, allowed)
	}
}

func (v *validator) cpu(field string, value CPU, low int64) {
	allowed := fmt.Sprintf("a number of cores such as 500m (%s..%s)", CPU{Millicores: low}, CPU{Millicores: maxCPU})

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
	v.probe(cfg)
	v.evidence(cfg.Evidence)
	v.trace(cfg.Trace)
	v.api(cfg.API)
	v.exporter(cfg.Metrics, cfg.API)

	return v.errs
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

func (v *validator) target(target Target) {
	if len(target.PodLabels) == 0 {
		v.reject("target.podLabels", "", "a mapping of at least one label, or every pod would be a target")
	}

	if target.Container == "" {
		v.reject("target.container", "", "a container name")
	}

	if target.Process == "" || strings.ContainsRune(target.Process, '/') {
		v.reject("target.process", target.Process, "the base name of an executable")
	}

	v.endpoint("target.metrics", target.Metrics.Port, target.Metrics.Path)
	v.endpoint("target.metrics.readiness", target.Metrics.Readiness.Port, target.Metrics.Readiness.Path)
	v.duration("target.metrics.interval", target.Metrics.Interval, minMetrics, maxMetrics)
}

// endpoint checks the port and the path of an HTTP server of the target.
func (v *validator) endpoint(field string, port Port, path string) {
	if port.invalid != "" {
		v.reject(field+".port", port.invalid, "a port of 1..65535, or 0 for none")
	}

	if parsed, err := url.Parse(path); err != nil || !strings.HasPrefix(path, "/") || parsed.Host != "" {
		v.reject(field+".path", path, "a path that starts with /")
	}
}

func (v *validator) evidence(evidence Evidence) {
	if evidence.Profile.Duration != 0 || evidence.Profile.invalid != "" {
		v.duration("evidence.profile", evidence.Profile, time.Second, maxProfile)
	}

	if limit := evidence.Limit; limit.invalid != "" || limit.Duration != 0 || limit.Bytes != 0 && (limit.Bytes < minEvidence || limit.Bytes > maxEvidence) {
		v.reject("evidence.limit", limit, "an amount of 64Ki..16Mi bytes, or 0 for no evidence")
	}
}

func (v *validator) trace(trace Trace) {
	if trace.Path != "" && !filepath.IsAbs(trace.Path) {
		v.reject("trace.path", trace.Path, "an absolute path, or empty")
	}

	if trace.Limit.invalid != "" || trace.Limit.Bytes < minTrace || trace.Limit.Bytes > maxTrace {
		v.reject("trace.limit", trace.Limit, "an amount of 64Ki..1Gi bytes")
	}
}
