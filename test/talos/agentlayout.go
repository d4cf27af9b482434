package talos

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/test/images"
)

// agentName is the extension that makes pods; Talos shows its service as ext-pod-agent.
const agentName = "pod-agent"

// agentService runs the agent. It takes kubelet's place: it writes the network's configuration, makes the pods'
// cgroups and calls the CRI. procfs is the node's, because the agent reads the cgroups of the pods' processes.
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

func agentLayout(ctx context.Context, dir string) error {
	agent, err := buildGo(ctx, "test/talos/agent")
	if err != nil {
		return err
	}

	files := extension.Files{"/agent": {Data: agent, Mode: 0o755}}

	for _, image := range images.All {
		binary, err := buildGo(ctx, image.Package)
		if err != nil {
			return err
		}

		archive, err := archiveOf(image, binary)
		if err != nil {
			return err
		}

		files[images.GuestPath(image.Name)] = extension.File{Data: archive, Mode: 0o644}
	}

	return ServiceLayout(dir, agentName, []byte(agentService), files)
}

// archiveOf makes the archive of an image that containerd imports.
func archiveOf(image images.Image, binary []byte) ([]byte, error) {
	dir, err := os.MkdirTemp("", "spegel-guard-image-")
	if err != nil {
		return nil, err
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	program, archive := filepath.Join(dir, image.Name), filepath.Join(dir, image.Name+".tar")

	if err := os.WriteFile(program, binary, 0o755); err != nil {
		return nil, err
	}

	if err := image.Write(program, archive); err != nil {
		return nil, err
	}

	return os.ReadFile(archive)
}
