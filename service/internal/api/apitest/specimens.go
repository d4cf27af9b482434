// SPDX-License-Identifier: MPL-2.0

//go:build linux

package apitest

import (
	"reflect"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Specimens returns one resource of each type except Override, with every field set.
func Specimens() []resource.Resource {
	all := []resource.Resource{
		resources.NewGuardConfig(resources.GuardConfigID), resources.NewTarget(Workload), resources.NewTargetStats(Workload),
		resources.NewNodeStats(), resources.NewRuleStatus(Workload + "/SpegelHighCPU"), resources.NewDesiredCeiling(Workload),
		resources.NewCeilingStatus(Workload), resources.NewGuardStatus(resources.GuardStatusID), resources.NewCondition(resources.ConditionDiscovery),
		resources.NewVerdict(Workload), resources.NewGuardAction("000000"),
	}

	for _, r := range all {
		setAll(reflect.ValueOf(r.Spec()).Elem())

		switch r := r.(type) {
		case *resources.GuardConfig:
			document, err := config.Marshal(config.Default())
			if err != nil {
				panic(err)
			}

			r.TypedSpec().Document, r.TypedSpec().Mode = string(document), string(config.ModeEnforce)
		case *resources.GuardStatus:
			r.TypedSpec().State = resources.StateThrottled
		case *resources.CeilingStatus:
			r.TypedSpec().OwnerLimit = "max 100000"
		case *resources.GuardAction:
			r.TypedSpec().Action = resources.ActionApply
		}
	}

	return all
}

// setAll sets every field to something that is not its zero.
func setAll(value reflect.Value) {
	switch v := value.Addr().Interface().(type) {
	case *time.Time:
		*v = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

		return
	case *time.Duration:
		*v = 90 * time.Second

		return
	case *resources.Reading:
		*v = resources.Reading{Value: 0.5, Provenance: resources.ProvenanceMeasured, Reason: "text"}

		return
	}

	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			setAll(value.Field(i))
		}
	case reflect.Pointer:
		// Pretty is set when a resource is sent.
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 2, 2))

		for i := range value.Len() {
			setAll(value.Index(i))
		}
	case reflect.String:
		value.SetString("text")
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int64:
		value.SetInt(42)
	case reflect.Uint64:
		value.SetUint(43)
	case reflect.Float64:
		value.SetFloat(0.5)
	default:
		panic("a resource has a field of kind " + value.Kind().String())
	}
}

// Sample returns a sample of the target for its history.
func Sample(at time.Duration, cores float64) policy.Sample {
	return policy.Sample{
		At: at, CPU: policy.Counter{Total: cores * at.Seconds()}, TX: policy.Counter{Total: 1e6 * at.Seconds()},
		RX: policy.Counter{Total: 1e6 * at.Seconds()}, Allocation: policy.Counter{Unavailable: "not scraped"},
	}
}
