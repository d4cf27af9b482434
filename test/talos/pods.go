// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Pod is a pod as the agent reports it (test/node.Pod).
type Pod struct {
	ContainerID string
	// Cgroup of the container, below the root of the hierarchy.
	Cgroup string
}

// SpegelPod returns the spec of a pod of spegel's chart (test/node.SpegelPod, which builds only on Linux).
func SpegelPod(name string) map[string]any {
	return map[string]any{
		"Name": name, "Namespace": "spegel", "Container": "registry",
		"Labels": map[string]string{"app.kubernetes.io/name": "spegel", "app.kubernetes.io/instance": "spegel"},
	}
}

// RunPod creates a pod and waits until its workload answers.
func (n *Node) RunPod(ctx context.Context, spec map[string]any) (Pod, error) {
	var pod Pod

	// The agent starts after the CRI.
	err := n.WaitFor(ctx, "waiting for the pod agent", func(ctx context.Context) error {
		return n.agent(ctx, http.MethodGet, "/ready", nil, nil)
	})
	if err != nil {
		return Pod{}, err
	}

	err = n.agent(ctx, http.MethodPost, "/pods", spec, &pod)

	return pod, err
}

// Steer changes the load of a pod (test/runaway).
func (n *Node) Steer(ctx context.Context, pod string, load map[string]any) error {
	return n.agent(ctx, http.MethodPost, "/pods/"+pod+"/steer", load, nil)
}

// agent calls the pod agent, which may wait for a pod that is throttled.
func (n *Node) agent(ctx context.Context, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()

	data, err := json.Marshal(body)
	if err != nil {
		return err
	}

	request, err := http.NewRequestWithContext(ctx, method, "http://"+n.Agent+path, bytes.NewReader(data))
	if err != nil {
		return err
	}

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}

	defer response.Body.Close() //nolint:errcheck

	text, err := io.ReadAll(response.Body)

	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("agent: %s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(text)))
	case answer == nil:
		return nil
	default:
		return json.Unmarshal(text, answer)
	}
}

// CPUMax reads the container's cpu.max as the kernel prints it, through Talos' own API.
func (n *Node) CPUMax(ctx context.Context, pod Pod) (string, error) {
	out, err := n.Talosctl(ctx, "read", "/sys/fs/cgroup"+pod.Cgroup+"/cpu.max")

	return strings.TrimSpace(out), err
}
