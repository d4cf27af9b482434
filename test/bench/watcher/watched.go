// SPDX-License-Identifier: MPL-2.0

//go:build linux

package watcher

import (
	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Watched returns the types that a client of the guard watches.
func Watched() []resource.Kind {
	return []resource.Kind{
		resources.NewGuardStatus(resources.GuardStatusID).Metadata(), resources.NewTargetStats("").Metadata(), resources.NewRuleStatus("").Metadata(),
	}
}
