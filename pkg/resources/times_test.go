// SPDX-License-Identifier: MPL-2.0

package resources_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestSetTimes_SetsEveryTime: a time without its clock would stay in 1970 when the node's clock is set.
func TestSetTimes_SetsEveryTime(t *testing.T) {
	found := 0

	for _, spec := range []any{
		&resources.GuardConfigSpec{}, &resources.TargetSpec{}, &resources.TargetStatsSpec{}, &resources.NodeStatsSpec{}, &resources.RuleStatusSpec{},
		&resources.DesiredCeilingSpec{}, &resources.CeilingStatusSpec{}, &resources.GuardActionSpec{}, &resources.GuardStatusSpec{},
		&resources.ConditionSpec{}, &resources.VerdictSpec{}, &resources.OverrideSpec{},
	} {
		value := reflect.ValueOf(spec).Elem()

		t.Run(value.Type().Name(), func(t *testing.T) {
			unset, err := yaml.Marshal(spec)
			require.NoError(t, err)
			assert.NotContains(t, string(unset), "0001-01-01", "a client would show the year 1")

			for i := range value.NumField() {
				if clock := value.Field(i); clock.Type() == reflect.TypeFor[time.Duration]() {
					clock.SetInt(int64(i + 1))
				}
			}

			resources.SetTimes(spec, func(at time.Duration) time.Time { return time.Unix(int64(at), 0) })

			for i := range value.NumField() {
				at, ok := value.Field(i).Interface().(time.Time)
				if !ok {
					continue
				}

				name := value.Type().Field(i).Name

				clock := value.FieldByName(name + "Clock")
				if name == "At" {
					clock = value.FieldByName("Clock")
				}

				require.True(t, clock.IsValid(), "%s has no clock", name)
				assert.Equal(t, time.Unix(clock.Int(), 0), at, name)

				found++
			}
		})
	}

	assert.Len(t, resources.Types(), 12, "the types above are all")
	assert.Greater(t, found, 10)
}
