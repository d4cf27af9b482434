// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package node provides a Kubernetes node without kubelet for tests in the VM: containerd with its CRI plugin, pods as
// kubelet creates them, and extension services as Talos runs them.
package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/spegel-guard/spegel-guard/test/images"
)

// Socket is containerd's address, the same as on Talos.
const Socket = "/run/containerd/containerd.sock"

// containerdConfig is the configuration of Talos' CRI (hack/cri-plugin.part) with the paths of the tests. When containerd starts again,
// it deletes containers whose shim is not loaded within a timeout: 5 s by default, which is too short on a slow machine.
const containerdConfig = `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "` + Socket + `"

[timeouts]
  "io.containerd.timeout.shim.load" = "2m"

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  discard_unpacked_layers = true
  use_local_image_pull = true

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "registry.test/pause:v1"

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/opt/cni/bin"]
  conf_dir = "/etc/cni/net.d"

[plugins.'io.containerd.nri.v1.nri']
  disable = true
`

// cniConfigPath is where the CRI reads the network configuration.
const cniConfigPath = "/etc/cni/net.d/10-pods.conflist"

// cniConfig has no masquerading: the pods only talk to each other, and the guest's kernel has no netfilter loaded.
const cniConfig = `{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": true,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/16"}]]}
  }]
}
`

// Node is a node with a running containerd.
type Node struct {
	// Client speaks containerd's own API, Runtime and Images its CRI.
	Client  *containerd.Client
	Runtime runtimeapi.RuntimeServiceClient

	conn *grpc.ClientConn
	cmd  *exec.Cmd
	log  *os.File
	done chan error
}

// patience is the deadline of every wait. It is long, because no test may depend on the speed of the machine.
const patience = 2 * time.Minute

// ContainerdLog is the path of containerd's log.
const ContainerdLog = "/tmp/containerd.log"

// Start writes the node's configuration, starts containerd and imports the pods' images.
func Start(ctx context.Context) (*Node, error) {
	for name, content := range map[string]string{
		"/etc/containerd/config.toml": containerdConfig,
		cniConfigPath:                 cniConfig,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}

		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return nil, err
		}
	}

	for _, step := range []func() error{createQoSCgroups, mountSystem, harden} {
		if err := step(); err != nil {
			return nil, err
		}
	}

	n := &Node{}

	if err := n.StartContainerd(ctx); err != nil {
		return nil, err
	}

	for _, image := range images.All {
		if err := n.importImage(ctx, images.GuestPath(image.Name)); err != nil {
			return nil, fmt.Errorf("failed to import image %s: %w", image.Name, err)
		}
	}

	return n, nil
}

// StartContainerd starts containerd and waits until its CRI answers. Pods of an earlier run are kept.
func (n *Node) StartContainerd(ctx context.Context) error {
	log, err := os.OpenFile(ContainerdLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}

	n.log = log
	n.cmd = exec.Command("/usr/bin/containerd", "--config", "/etc/containerd/config.toml") //nolint:noctx // outlives ctx
	n.cmd.Stdout, n.cmd.Stderr = log, log

	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("failed to start containerd: %w", err)
	}

	n.done = make(chan error, 1)

	go func(cmd *exec.Cmd, done chan<- error) { done <- cmd.Wait() }(n.cmd, n.done)

	if n.conn, err = grpc.NewClient("unix://"+Socket, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return err
	}

	n.Runtime = runtimeapi.NewRuntimeServiceClient(n.conn)

	if err := n.waitReady(ctx); err != nil {
		tail, _ := os.ReadFile(ContainerdLog) // best effort: it explains err

		return fmt.Errorf("%w\n--- containerd ---\n%s", err, tail)
	}

	n.Client, err = containerd.New(Socket)

	return err
}

func (n *Node) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	for {
		status, err := n.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
		if err == nil && allTrue(status.GetStatus().GetConditions()) {
			return nil
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("containerd's CRI did not become ready: %w", errors.Join(ctx.Err(), err))
		case err := <-n.done:
			n.done <- err

			return fmt.Errorf("containerd ended: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func allTrue(conditions []*runtimeapi.RuntimeCondition) bool {
	for _, condition := range conditions {
		if !condition.GetStatus() {
			return false
		}
	}

	return len(conditions) > 0
}

// StopContainerd stops containerd. The containers keep running under their shims.
func (n *Node) StopContainerd() error {
	n.Client.Close() //nolint:errcheck // going away
	n.conn.Close()   //nolint:errcheck // going away

	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}

	<-n.done

	return n.log.Close()
}

func (n *Node) importImage(ctx context.Context, archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}

	defer file.Close() //nolint:errcheck

	ctx = namespaces.WithNamespace(ctx, "k8s.io")

	imported, err := n.Client.Import(ctx, file)
	if err != nil {
		return err
	}

	for _, image := range imported {
		if err := containerd.NewImage(n.Client, image).Unpack(ctx, "overlayfs"); err != nil {
			return err
		}
	}

	return nil
}

// ContentStore is where containerd keeps its blobs.
const ContentStore = "/var/lib/containerd/io.containerd.content.v1.content"

// AddBlobs adds blobs of a size in bytes to the content store, protected from garbage collection.
func (n *Node) AddBlobs(ctx context.Context, count, size int) error {
	ctx = namespaces.WithNamespace(ctx, "k8s.io")
	store := n.Client.ContentStore()

	var group errgroup.Group

	group.SetLimit(4)

	for i := range count {
		group.Go(func() error {
			blob := make([]byte, size)
			binary.BigEndian.PutUint64(blob, uint64(i))

			descriptor := ocispec.Descriptor{Digest: digest.FromBytes(blob), Size: int64(size)}
			labels := content.WithLabels(map[string]string{"containerd.io/gc.root": time.Now().UTC().Format(time.RFC3339)})

			if err := content.WriteBlob(ctx, store, descriptor.Digest.String(), bytes.NewReader(blob), descriptor, labels); err != nil {
				return fmt.Errorf("failed to write blob %d: %w", i, err)
			}

			return nil
		})
	}

	return group.Wait()
}
