// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"fmt"
	"net"

	"github.com/siderolabs/go-pointer"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/constants"

	"github.com/spegel-guard/spegel-guard/test/images"
)

// Address of the node in QEMU's user network: the first address of its DHCP server.
const Address = "10.0.2.15"

// pinnedPause lets the CRI make sandboxes from an image that was not pulled.
var pinnedPause = fmt.Sprintf("[plugins.\"io.containerd.cri.v1.images\".pinned_images]\n  sandbox = %q\n", images.Pause.Reference())

// cluster has the machine configuration of a control plane node and the credentials of its administrator.
type cluster struct {
	// document is the machine configuration in YAML.
	document []byte
	// secrets of the cluster: its CAs, for certificates of other roles.
	secrets *secrets.Bundle
	// talosconfig of the administrator, without endpoints.
	talosconfig *clientconfig.Config
}

// newCluster generates a machine configuration as "talosctl gen config" does. The node is a control plane, because a worker
// waits for trustd of the control plane.
func newCluster() (cluster, error) {
	contract := config.TalosVersion1_13

	bundle, err := secrets.NewBundle(secrets.NewClock(), contract)
	if err != nil {
		return cluster{}, fmt.Errorf("failed to generate the cluster's secrets: %w", err)
	}

	input, err := generate.NewInput("test", "https://"+net.JoinHostPort(Address, "6443"), constants.DefaultKubernetesVersion,
		generate.WithSecretsBundle(bundle),
		generate.WithVersionContract(contract),
		generate.WithAdditionalSubjectAltNames([]string{"127.0.0.1"}),
		generate.WithInstallDisk("/dev/vda"),
		generate.WithClusterDiscovery(false),
		generate.WithRegistryMirror(images.Registry, "http://"+images.MirrorAddress),
	)
	if err != nil {
		return cluster{}, fmt.Errorf("failed to prepare the machine configuration: %w", err)
	}

	generated, err := input.Config(machine.TypeControlPlane)
	if err != nil {
		return cluster{}, fmt.Errorf("failed to generate the machine configuration: %w", err)
	}

	patched, err := generated.PatchV1Alpha1(func(c *v1alpha1.Config) error {
		// No time server can be reached.
		c.MachineConfig.MachineTime = &v1alpha1.TimeConfig{TimeDisabled: pointer.To(true)} //nolint:staticcheck // its successor is newer than Talos v1.12
		c.MachineConfig.MachineKubelet.KubeletImage = images.Kubelet.Reference()
		// No API server runs, without which a node that registers itself is never ready.
		c.MachineConfig.MachineKubelet.KubeletSkipNodeRegistration = pointer.To(true)
		c.ClusterConfig.EtcdConfig.ContainerImage = images.Etcd.Reference()
		c.MachineConfig.MachineFiles = append(c.MachineConfig.MachineFiles, &v1alpha1.MachineFile{
			FilePath: "/etc/cri/conf.d/20-customization.part", FileOp: "create", FileContent: pinnedPause, FilePermissions: 0o644,
		})

		return nil
	})
	if err != nil {
		return cluster{}, fmt.Errorf("failed to complete the machine configuration: %w", err)
	}

	document, err := patched.Bytes()
	if err != nil {
		return cluster{}, err
	}

	talosconfig, err := input.Talosconfig()

	return cluster{document: document, secrets: bundle, talosconfig: talosconfig}, err
}
