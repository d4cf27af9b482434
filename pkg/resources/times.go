// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"reflect"
	"time"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
)

// SetTimes sets every time of a spec, a pointer, from the same time on CLOCK_BOOTTIME: Since from SinceClock, and At from Clock. wall
// converts it (boottime.Wall). The system's clock of a node can be set at any time, and is not set when a node without a
// battery starts.
func SetTimes(spec any, wall func(time.Duration) time.Time) {
	value := reflect.ValueOf(spec).Elem()

	for i := range value.NumField() {
		if value.Type().Field(i).Type != timeType {
			continue
		}

		clock := clockOf(value, value.Type().Field(i).Name)
		if !clock.IsValid() || clock.Type() != durationType {
			continue // a test finds it
		}

		value.Field(i).Set(reflect.ValueOf(wall(time.Duration(clock.Int()))))
	}
}

// clockOf returns the field with a time on CLOCK_BOOTTIME.
func clockOf(value reflect.Value, name string) reflect.Value {
	if name == "At" {
		return value.FieldByName("Clock")
	}

	return value.FieldByName(name + "Clock")
}
