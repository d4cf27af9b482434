// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// ConditionType is the type of Condition.
const ConditionType = resource.Type("Conditions.spegelguard.dev")

// Condition is the health of one part of the guard; its id names the part.
type Condition = typed.Resource[ConditionSpec, ConditionExtension]

// NewCondition returns an empty Condition.
func NewCondition(id resource.ID) *Condition {
	return create[ConditionSpec, ConditionExtension](ConditionType, id)
}

// ConditionExtension gives Condition its definition.
type ConditionExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s ConditionSpec) DeepCopy() ConditionSpec { return s }

func init() { register[ConditionSpec, ConditionExtension](ConditionType) }

// Parts of the guard that report a condition.
const (
	ConditionConfig      resource.ID = "config"
	ConditionDiscovery   resource.ID = "discovery"
	ConditionSampling    resource.ID = "sampling"
	ConditionEnforcement resource.ID = "enforcement"
	ConditionAPI         resource.ID = "api"
	// ConditionMetrics is there when metrics are served.
	ConditionMetrics resource.ID = "metrics"
)

// Reasons of a condition that is not well.
const (
	ReasonOK        = "OK"
	ReasonBadConfig = "BadConfig"
	// ReasonRestartRequired: a document has fields that the running service cannot apply.
	ReasonRestartRequired = "RestartRequired"
	ReasonCRI             = "CRIUnreachable"
	ReasonNoTarget        = "NoTarget"
	ReasonNoCgroup2       = "NoCgroup2"
	ReasonNotPermitted    = "NotPermitted"
	ReasonSamplingError   = "SamplingError"
	ReasonWriteError      = "WriteError"
	// The cgroup cannot be given a ceiling: see the errors of pkg/cgroup.
	ReasonNoController = "NoCPUController"
	ReasonThreaded     = "Threaded"
	ReasonFrozen       = "Frozen"
	// ReasonNoLock: another guard is at work on the node.
	ReasonNoLock = "Locked"
	// ReasonNoCertificate: the API has no certificate to show, or not the newest.
	ReasonNoCertificate = "NoCertificate"
	// ReasonNotServed: the API or the metrics cannot be served at their address.
	ReasonNotServed = "NotServed"
	// ReasonBadJournal: a journal cannot be read, so nobody knows the owner's value.
	ReasonBadJournal = "BadJournal"
)

// ConditionSpec is well when its reason is ReasonOK.
type ConditionSpec struct {
	OK      bool      `yaml:"ok" protobuf:"1"`
	Reason  string    `yaml:"reason" protobuf:"2"`
	Message string    `yaml:"message" protobuf:"3"`
	Since   time.Time `yaml:"since" protobuf:"4"`
}

// Set says how it is now. It tells whether that is news; Since is when the reason began.
func (s *ConditionSpec) Set(reason, message string) bool {
	if s.Reason == reason && s.Message == message {
		return false
	}

	if s.Reason != reason {
		s.Since = time.Now().UTC()
	}

	s.OK, s.Reason, s.Message = reason == ReasonOK, reason, message

	return true
}

// ResourceDefinition implements typed.Extension.
func (ConditionExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(ConditionType, []resource.Type{"condition"},
		column("OK", ".ok"), column("Reason", ".reason"), column("Message", ".message"), column("Since", ".since"))
}
