// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
)

// Versions of the node's software, which is built from the Go module proxy.
const (
	ContainerdVersion = "v2.4.2"
	RuncVersion       = "v1.5.2"
	CNIVersion        = "v1.9.1"
)

type tool struct {
	key      string
	packages []string
	env      []string
	flags    []string
}

func nodeTools() []tool {
	return []tool{
		{
			key: "containerd-" + ContainerdVersion,
			packages: []string{
				"github.com/containerd/containerd/v2/cmd/containerd@" + ContainerdVersion,
				"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@" + ContainerdVersion,
			},
			env:   []string{"CGO_ENABLED=0"},
			flags: []string{"-ldflags", "-s -w"},
		},
		{
			// Static, because the guest has no C library. With seccomp, because Talos runs extension services with the default
			// seccomp profile.
			key:      "runc-" + RuncVersion,
			packages: []string{"github.com/opencontainers/runc@" + RuncVersion},
			env:      []string{"CGO_ENABLED=1"},
			flags:    []string{"-tags", "seccomp,netgo,osusergo", "-ldflags", "-s -w -extldflags -static"},
		},
		{
			key: "cni-" + CNIVersion,
			packages: []string{
				"github.com/containernetworking/plugins/plugins/main/bridge@" + CNIVersion,
				"github.com/containernetworking/plugins/plugins/main/loopback@" + CNIVersion,
				"github.com/containernetworking/plugins/plugins/ipam/host-local@" + CNIVersion,
			},
			env:   []string{"CGO_ENABLED=0"},
			flags: []string{"-ldflags", "-s -w"},
		},
	}
}

// BuildTools builds containerd, its shim, runc and the CNI plugins in the cache. It returns the paths of the binaries by name.
func BuildTools(ctx context.Context, cache string) (map[string]string, error) {
	binaries := map[string]string{}

	for _, t := range nodeTools() {
		dir := filepath.Join(cache, "tools", t.key)

		err := artifacts.BuildOnce(dir, func(tmp string) error {
			args := append([]string{"install", "-trimpath"}, t.flags...)

			for _, pkg := range t.packages {
				cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
				cmd.Dir = tmp
				cmd.Env = append(os.Environ(), append(t.env, "GOBIN="+tmp, "GOFLAGS=")...)

				if _, err := artifacts.Output(cmd); err != nil {
					return err
				}
			}

			return nil
		})
		if err != nil {
			return nil, err
		}

		for _, pkg := range t.packages {
			path, _, _ := strings.Cut(pkg, "@")
			name := filepath.Base(path)
			binaries[name] = filepath.Join(dir, name)
		}
	}

	return binaries, nil
}
