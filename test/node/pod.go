// SPDX-License-Identifier: MPL-2.0

//go:build linux

package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/spegel-guard/spegel-guard/test/images"
)

// PodSpec is the part of a pod that differs between tests.
type PodSpec struct {
	Name, Namespace string
	// Labels of the pod. kubelet sets them on the sandbox, not on the containers.
	Labels map[string]string
	// Annotations of the pod.
	Annotations map[string]string
	// Container's name.
	Container string
	// CPUQuota in microseconds per period; 0 is no limit. CPUPeriod in microseconds; 0 is 100 ms.
	CPUQuota, CPUPeriod int64
	// Args of the workload.
	Args []string
	// HostNetwork gives the pod the node's network namespace.
	HostNetwork bool
}

// Pod is a running pod of one container.
type Pod struct {
	Spec      PodSpec
	UID       string
	SandboxID string
	// SandboxPID is the sandbox's process.
	SandboxPID  int
	ContainerID string
	// IP of the sandbox.
	IP string
	// Cgroup of the container, relative to the root of the hierarchy.
	Cgroup string
	// PID of the container's first process.
	PID int

	node    *Node
	sandbox *runtimeapi.PodSandboxConfig
}

// SpegelPod returns a pod with the labels and the container name of spegel's chart.
func SpegelPod(name string) PodSpec {
	return PodSpec{
		Name: name, Namespace: "spegel", Container: "registry",
		Labels: map[string]string{"app.kubernetes.io/name": "spegel", "app.kubernetes.io/instance": "spegel"},
	}
}

// RunPod creates the sandbox and the container as kubelet does, with cgroup parent, labels and network.
func (n *Node) RunPod(ctx context.Context, spec PodSpec) (*Pod, error) {
	pod, err := n.RunSandbox(ctx, spec)
	if err != nil {
		return nil, err
	}

	return pod, pod.StartContainer(ctx)
}

// RunSandbox creates a pod without a container.
func (n *Node) RunSandbox(ctx context.Context, spec PodSpec) (*Pod, error) {
	uid, err := newUID()
	if err != nil {
		return nil, err
	}

	parent := "/kubepods/burstable/pod" + uid

	if err := createInnerCgroup(parent); err != nil {
		return nil, err
	}

	network, hostname := runtimeapi.NamespaceMode_POD, spec.Name
	if spec.HostNetwork {
		// The UTS namespace is the node's, too.
		network, hostname = runtimeapi.NamespaceMode_NODE, ""
	}

	labels := map[string]string{
		"io.kubernetes.pod.name": spec.Name, "io.kubernetes.pod.namespace": spec.Namespace, "io.kubernetes.pod.uid": uid,
	}

	for key, value := range spec.Labels {
		labels[key] = value
	}

	pod := &Pod{
		Spec: spec, UID: uid, node: n,
		sandbox: &runtimeapi.PodSandboxConfig{
			Metadata:     &runtimeapi.PodSandboxMetadata{Name: spec.Name, Namespace: spec.Namespace, Uid: uid},
			Hostname:     hostname,
			LogDirectory: "/var/log/pods/" + uid,
			Labels:       labels,
			Annotations:  spec.Annotations,
			Linux: &runtimeapi.LinuxPodSandboxConfig{
				CgroupParent: parent,
				SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: &runtimeapi.NamespaceOption{
					Network: network, Pid: runtimeapi.NamespaceMode_CONTAINER,
				}},
			},
		},
	}

	sandbox, err := n.Runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: pod.sandbox})
	if err != nil {
		return nil, fmt.Errorf("failed to run sandbox %s: %w", spec.Name, err)
	}

	pod.SandboxID = sandbox.GetPodSandboxId()

	status, err := n.Runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: pod.SandboxID, Verbose: true})
	if err != nil {
		return nil, err
	}

	if pod.SandboxPID, err = infoPID(status.GetInfo()); err != nil {
		return nil, err
	}

	pod.IP = status.GetStatus().GetNetwork().GetIp()

	if spec.HostNetwork {
		pod.IP = "127.0.0.1"
	}

	return pod, nil
}

// StartContainer starts a new container in the pod, as kubelet does at the start and at each restart.
func (p *Pod) StartContainer(ctx context.Context) error {
	// The weight does not matter here, only the quota.
	resources := &runtimeapi.LinuxContainerResources{CpuShares: 102}

	if p.Spec.CPUQuota > 0 || p.Spec.CPUPeriod > 0 {
		resources.CpuPeriod, resources.CpuQuota = cmp.Or(p.Spec.CPUPeriod, 100_000), p.Spec.CPUQuota
	}

	namespaces := p.sandbox.GetLinux().GetSecurityContext().GetNamespaceOptions()

	created, err := p.node.Runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		PodSandboxId:  p.SandboxID,
		SandboxConfig: p.sandbox,
		Config: &runtimeapi.ContainerConfig{
			Metadata: &runtimeapi.ContainerMetadata{Name: p.Spec.Container, Attempt: uint32(time.Now().Unix())},
			Image:    &runtimeapi.ImageSpec{Image: images.Spegel.Reference()},
			Args:     p.Spec.Args,
			Labels: map[string]string{
				"io.kubernetes.container.name": p.Spec.Container,
				"io.kubernetes.pod.name":       p.Spec.Name,
				"io.kubernetes.pod.namespace":  p.Spec.Namespace,
				"io.kubernetes.pod.uid":        p.UID,
			},
			LogPath: p.Spec.Container + ".log",
			Linux: &runtimeapi.LinuxContainerConfig{
				Resources:       resources,
				SecurityContext: &runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: namespaces},
			},
		},
	})
	if err != nil {
		return fmt.Errorf("failed to create container %s: %w", p.Spec.Container, err)
	}

	p.ContainerID = created.GetContainerId()

	if _, err := p.node.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: p.ContainerID}); err != nil {
		return fmt.Errorf("failed to start container %s: %w", p.Spec.Container, err)
	}

	return p.locate(ctx)
}

// locate reads the process and the cgroup of the container from the CRI and procfs.
func (p *Pod) locate(ctx context.Context) error {
	status, err := p.node.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: p.ContainerID, Verbose: true})
	if err != nil {
		return err
	}

	if p.PID, err = infoPID(status.GetInfo()); err != nil {
		return err
	}

	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID))
	if err != nil {
		return err
	}

	p.Cgroup = strings.TrimPrefix(strings.TrimSpace(string(data)), "0::")

	return nil
}

// infoPID reads the process from the CRI's verbose status.
func infoPID(verbose map[string]string) (int, error) {
	var info struct {
		PID int `json:"pid"`
	}

	err := json.Unmarshal([]byte(verbose["info"]), &info)

	return info.PID, err
}

// StopContainer stops and removes the container. The pod stays.
func (p *Pod) StopContainer(ctx context.Context) error {
	if _, err := p.node.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: p.ContainerID}); err != nil {
		return err
	}

	_, err := p.node.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: p.ContainerID})

	return err
}

// Resize changes the container's quota in place, as kubelet does for a resized pod.
func (p *Pod) Resize(ctx context.Context, quotaUsec int64) error {
	_, err := p.node.Runtime.UpdateContainerResources(ctx, &runtimeapi.UpdateContainerResourcesRequest{
		ContainerId: p.ContainerID,
		Linux:       &runtimeapi.LinuxContainerResources{CpuPeriod: 100_000, CpuQuota: quotaUsec, CpuShares: 102},
	})

	return err
}

// Remove stops and removes the pod.
func (p *Pod) Remove(ctx context.Context) error {
	if _, err := p.node.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.SandboxID}); err != nil {
		return err
	}

	_, err := p.node.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.SandboxID})

	return err
}

// Steer changes the load of the workload (test/runaway, Load). Omitted fields keep their value.
func (p *Pod) Steer(ctx context.Context, load map[string]any) error {
	body, err := json.Marshal(load)
	if err != nil {
		return err
	}

	// A throttled workload may be slow to answer.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.IP+":9090/steer", bytes.NewReader(body))
	if err != nil {
		return err
	}

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}

	defer response.Body.Close() //nolint:errcheck

	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body) // best effort: it explains the status

		return fmt.Errorf("workload refused %s: %s: %s", body, response.Status, text)
	}

	return nil
}

// WaitServing waits until the workload answers.
func (p *Pod) WaitServing(ctx context.Context) error {
	for {
		err := p.Steer(ctx, map[string]any{})
		if err == nil {
			return nil
		}

		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TXBytes returns the bytes that the pod has sent over eth0, from /proc/<pid>/net/dev.
func (p *Pod) TXBytes() (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", p.PID))
	if err != nil {
		return 0, err
	}

	// After the name and a colon: eight receive counters, then the bytes sent.
	for line := range strings.Lines(string(data)) {
		name, counters, ok := strings.Cut(line, ":")
		fields := strings.Fields(counters)

		if ok && strings.TrimSpace(name) == "eth0" && len(fields) > 8 {
			return strconv.ParseUint(fields[8], 10, 64)
		}
	}

	return 0, fmt.Errorf("pod %s has no interface eth0", p.Spec.Name)
}

func newUID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/uuid")

	return strings.TrimSpace(string(data)), err
}
