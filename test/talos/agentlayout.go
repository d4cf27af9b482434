// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/test/images"
)

// agentName is the extension that creates pods. Talos shows its service as ext-pod-agent.
const agentName = "pod-agent"

// agentService runs the agent, which creates pods in kubelet's place: it writes the configuration of the network, creates the
// pods' cgroups and calls the CRI. It has procfs of the node, because it reads the cgroups of the pods' processes.
const agentService = `name: pod-agent
container:
  entrypoint: /agent
  mounts:
    - {source: /proc, destination: /proc, type: bind, options: [rbind, rw]}
    - {source: /sys/fs/cgroup, destination: /sys/fs/cgroup, type: bind, options: [bind, rw]}
    - {source: /run/containerd, destination: /run/containerd, type: bind, options: [bind, ro]}
    - {source: /etc/cni, destination: /etc/cni, type: bind, options: [rbind, rw]}
depends:
  - service: cri
restart: always
`

func agentLayout(ctx context.Context, programs Programs, dir string) error {
	agent, err := buildGo(ctx, "test/talos/agent")
	if err != nil {
		return err
	}

	files := extension.Files{"/agent": {Data: agent, Mode: 0o755}}

	for _, image := range slices.Concat(images.All, images.Pulled) {
		archive, err := imageArchive(ctx, programs, image)
		if err != nil {
			return fmt.Errorf("failed to create image %s: %w", image.Name, err)
		}

		files[images.GuestPath(image.Name)] = extension.File{Data: archive, Mode: 0o644}
	}

	return ServiceLayout(dir, agentName, []byte(agentService), files)
}

// imageArchive builds the program of an image, except etcd, which is one of the programs of Talos.
func imageArchive(ctx context.Context, programs Programs, image images.Image) ([]byte, error) {
	var (
		binary []byte
		err    error
	)

	if image == images.Etcd {
		binary, err = os.ReadFile(programs.Etcd)
	} else {
		binary, err = buildGo(ctx, image.Package)
	}

	if err != nil {
		return nil, err
	}

	var archive bytes.Buffer

	err = image.Write(binary, &archive)

	return archive.Bytes(), err
}
