//go:build linux

package doctor

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// fixes of what conditions report. Their messages say what is wrong.
var fixes = map[string]string{
	resources.ReasonBadConfig:       "correct the document: spegelguardctl config validate FILE names every mistake",
	resources.ReasonRestartRequired: "restart the service: talosctl service ext-spegel-guard restart",
	resources.ReasonCRI:             "see whether containerd runs: talosctl service cri",
	resources.ReasonNoTarget:        "compare target.podLabels, target.namespace and target.container with the pod: kubectl get pods -A --show-labels",
	resources.ReasonNoCgroup2:       "boot with the unified cgroup hierarchy",
	resources.ReasonNotPermitted:    "mount /sys/fs/cgroup into the service read-write; with SELinux enforcing, the guard can only observe",
	resources.ReasonSamplingError:   "see the guard's log: talosctl logs ext-spegel-guard",
	resources.ReasonWriteError:      "see the guard's log: talosctl logs ext-spegel-guard",
	resources.ReasonNoController:    "the cpu controller is not enabled for the pod's cgroup: see cgroup.subtree_control of its parents",
	resources.ReasonThreaded:        "the container's cgroup is threaded; it cannot be given a limit of its own",
	resources.ReasonFrozen:          "the container is frozen; a ceiling follows when it is thawed",
	resources.ReasonNoLock:          "stop the other guard: one per node",
	resources.ReasonNoCertificate:   "see whether machined answers (check machined), or whether the files of api.tls are there",
	resources.ReasonNotServed:       "see which process has the address (ss -ltnp), or whether the folder of the socket is writable",
	resources.ReasonBadJournal:      "restore the owner's limit by an in-place resize of the pod, or restart it",
}

// conditions are what the guard's own parts report.
func (d Doctor) conditions(ctx context.Context) ([]Check, error) {
	all, err := safe.StateListAll[*resources.Condition](ctx, d.State)
	if err != nil {
		return nil, fmt.Errorf("error listing conditions: %w", err)
	}

	var checks []Check

	for condition := range all.All() {
		spec := condition.TypedSpec()
		check := Check{Name: condition.Metadata().ID(), State: OK, Message: spec.Message}

		if !spec.OK {
			check.State, check.Fix = Failed, fixes[spec.Reason]
			check.Message = strings.TrimSpace(spec.Reason + ": " + spec.Message)
		}

		checks = append(checks, check)
	}

	return checks, nil
}

// targets are whether each can be read and given a ceiling.
func (d Doctor) targets(ctx context.Context) ([]Check, error) {
	targets, err := safe.StateListAll[*resources.Target](ctx, d.State)
	if err != nil {
		return nil, fmt.Errorf("error listing targets: %w", err)
	}

	if targets.Len() == 0 {
		return []Check{{Name: "target", State: Failed, Message: "there is none on the node", Fix: fixes[resources.ReasonNoTarget]}}, nil
	}

	var checks []Check

	for target := range targets.All() {
		checks = append(checks, d.cpuMax(target.Metadata().ID(), target.TypedSpec().Cgroup))
	}

	stats, err := safe.StateListAll[*resources.TargetStats](ctx, d.State)
	if err != nil {
		return nil, fmt.Errorf("error listing readings: %w", err)
	}

	for stat := range stats.All() {
		checks = append(checks, signals(stat.Metadata().ID(), stat.TypedSpec()))
	}

	return checks, nil
}

// cpuMax looks whether a target's ceiling could be written.
func (d Doctor) cpuMax(id, path string) Check {
	check := Check{Name: "cpu.max", State: OK, Message: id + ": can be written"}

	err := writable(filepath.Join(d.Cgroup, path, "cpu.max"))

	switch {
	case err == nil && d.enforcing():
		check.Message += "; SELinux is enforcing and allows it"
	case err != nil && d.enforcing():
		check.State, check.Message = Failed, fmt.Sprintf("%s: %s; SELinux is enforcing", id, err)
		check.Fix = "Talos gives extensions read-only access to cgroups while SELinux enforces: boot with enforcing=0, or use mode observe"
	case err != nil:
		check.State, check.Message, check.Fix = Failed, fmt.Sprintf("%s: %s", id, err), fixes[resources.ReasonNotPermitted]
	}

	return check
}

// signals looks whether all that rules may be about can be read.
func signals(id string, spec *resources.TargetStatsSpec) Check {
	check := Check{Name: "signals", State: OK, Message: id + ": cpu, network, allocation and pressure can be read"}

	var unavailable []string

	for _, signal := range policy.Signals() {
		if reading := spec.Signal(signal); reading.Provenance == resources.ProvenanceUnavailable {
			unavailable = append(unavailable, string(signal)+" ("+reading.Reason+")")
		}
	}

	if len(unavailable) > 0 {
		check.State, check.Message = Warning, id+": cannot be read: "+strings.Join(unavailable, ", ")
		check.Fix = "rules about these neither trip nor release; allocation comes from target.metrics (port and path)"
	}

	return check
}
