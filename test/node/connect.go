// SPDX-License-Identifier: MPL-2.0

//go:build linux

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	containerd "github.com/containerd/containerd/v2/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/spegel-guard/spegel-guard/test/images"
)

// Connect returns a node that uses a running containerd, such as that of Talos. It creates the cgroups of Kubernetes' pods,
// configures the pods' network below /etc/cni and imports the pods' images.
func Connect(ctx context.Context) (*Node, error) {
	if err := os.MkdirAll(filepath.Dir(cniConfigPath), 0o755); err != nil {
		return nil, err
	}

	if err := os.WriteFile(cniConfigPath, []byte(cniConfig), 0o644); err != nil {
		return nil, err
	}

	if err := createQoSCgroups(); err != nil {
		return nil, err
	}

	n := &Node{}

	var err error

	if n.conn, err = grpc.NewClient("unix://"+Socket, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return nil, err
	}

	n.Runtime = runtimeapi.NewRuntimeServiceClient(n.conn)

	if err := n.waitReady(ctx); err != nil {
		return nil, err
	}

	if n.Client, err = containerd.New(Socket); err != nil {
		return nil, err
	}

	for _, image := range images.All {
		if err := n.importImage(ctx, images.GuestPath(image.Name)); err != nil {
			return nil, fmt.Errorf("failed to import image %s: %w", image.Name, err)
		}
	}

	return n, nil
}
