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

// Condition is the health of one part of the guard. Its id is the part.
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
	// ConditionMetrics exists only if metrics are served.
	ConditionMetrics resource.ID = "metrics"
)

// Reasons of a condition.
const (
	ReasonOK        = "OK"
	ReasonBadConfig = "BadConfig"
	// ReasonRestartRequired: the document has fields that the running service cannot apply.
	ReasonRestartRequired = "RestartRequired"
	ReasonCRI             = "CRIUnreachable"
	ReasonNoTarget        = "NoTarget"
	ReasonNoCgroup2       = "NoCgroup2"
	ReasonNotPermitted    = "NotPermitted"
	ReasonSamplingError   = "SamplingError"
	ReasonWriteError      = "WriteError"
	// ReasonNoController, ReasonThreaded and ReasonFrozen are the errors of pkg/cgroup for a cgroup without a ceiling.
	ReasonNoController = "NoCPUController"
	ReasonThreaded     = "Threaded"
	ReasonFrozen       = "Frozen"
	// ReasonNoDecisions: nothing decides on a target, so that it has no ceiling.
	ReasonNoDecisions = "NoDecisions"
	// ReasonNoLock: another guard runs on the node.
	ReasonNoLock = "Locked"
	// ReasonNoCertificate: there are no certificates, or the newest could not be loaded.
	ReasonNoCertificate = "NoCertificate"
	// ReasonNotServed: the API or the metrics cannot be served at their address.
	ReasonNotServed = "NotServed"
	// ReasonBadJournal: a journal cannot be read, so the owner's limit is unknown.
	ReasonBadJournal = "BadJournal"
	// ReasonNotAdopted: cgroups could not be searched for ceilings of an earlier process, or not adopted.
	ReasonNotAdopted = "NotAdopted"
)

// States of a check of the doctor.
const (
	CheckOK = "ok"
	// CheckWarning: the guard works with a restriction.
	CheckWarning = "warning"
	// CheckFailed: the guard cannot do its work.
	CheckFailed = "failed"
	// CheckSkipped: not checked, for the reason in the message.
	CheckSkipped = "skipped"
)

var fixes = map[string]string{
	ReasonBadConfig:       "correct the document; spegelguardctl config validate FILE lists every mistake",
	ReasonRestartRequired: "restart the service: talosctl service ext-spegel-guard restart",
	ReasonCRI:             "check that containerd runs (talosctl service cri), and that the flag -cri is its socket and mounted into the service",
	ReasonNoTarget:        "compare target.podLabels, target.namespace and target.container with the pod: kubectl get pods -A --show-labels",
	ReasonNoCgroup2:       "boot with cgroup v2 (no talos.unified_cgroup_hierarchy=0 in the kernel arguments) and mount /sys/fs/cgroup into the service",
	ReasonNotPermitted: "mount /sys/fs/cgroup into the service read-write; if SELinux is enforcing, Talos lets extensions only read cgroups: " +
		"boot with enforcing=0 or set mode: observe",
	ReasonSamplingError: "read the log of the service: talosctl logs ext-spegel-guard",
	ReasonWriteError:    "read the log of the service: talosctl logs ext-spegel-guard",
	ReasonNoController:  "enable the cpu controller in cgroup.subtree_control of all parents; talosctl read /proc/cgroups shows if cgroup v1 has it",
	ReasonThreaded:      "set mode: observe; a threaded cgroup gets no ceiling of its own",
	ReasonFrozen:        "thaw the container; its ceiling is applied then",
	ReasonNoDecisions:   "restart the service, and report it with its log",
	ReasonNoLock:        "stop the other guard on the node",
	ReasonNoCertificate: "check that machined responds (check machined), or that the files of the tls section exist",
	ReasonNotServed:     "free the address (talosctl netstat -l -t -p shows who listens on it), or make the directory of the socket writable",
	ReasonNotAdopted:    "restart the pods of the cgroups that the message names",
	ReasonBadJournal:    "restart the pod: its new cgroup has no journal",
}

// Fix returns what to do about a condition with this reason; empty for ReasonOK.
func Fix(reason string) string { return fixes[reason] }

// ConditionSpec is OK if its reason is ReasonOK.
type ConditionSpec struct {
	OK      bool      `yaml:"ok" protobuf:"1"`
	Reason  string    `yaml:"reason" protobuf:"2"`
	Message string    `yaml:"message" protobuf:"3"`
	Since   time.Time `yaml:"since,omitempty" protobuf:"4"`
	// SinceClock is Since on CLOCK_BOOTTIME.
	SinceClock time.Duration `yaml:"sinceClock" protobuf:"5"`
}

// Set updates the condition at a time on CLOCK_BOOTTIME and reports whether it changed. SinceClock changes with the reason only, and
// the caller sets Since (SetTimes).
func (s *ConditionSpec) Set(reason, message string, now time.Duration) bool {
	if s.Reason == reason && s.Message == message {
		return false
	}

	if s.Reason != reason {
		s.SinceClock = now
	}

	s.OK, s.Reason, s.Message = reason == ReasonOK, reason, message

	return true
}

// ResourceDefinition implements typed.Extension.
func (ConditionExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(ConditionType, []resource.Type{"condition"},
		column("OK", ".ok"), column("Reason", ".reason"), column("Message", ".message"), column("Since", ".since"))
}
