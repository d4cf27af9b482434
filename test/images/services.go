// SPDX-License-Identifier: MPL-2.0

package images

import "github.com/siderolabs/talos/pkg/machinery/constants"

// MirrorAddress is where the agent of a Talos node serves the images of Talos' services, on the node's loopback.
const MirrorAddress = "127.0.0.1:50401"

// EtcdVersion is the version of etcd; test/talos/programs/go.mod has the same one.
const EtcdVersion = "v3.6.9"

// Images of the services that Talos pulls. etcd is the real one, from the programs of Talos; kubelet only answers that it is healthy
// (test/talos/kubelet). Talos reads the versions of both from the tags.
var (
	Kubelet = Image{
		Name: "kubelet", Tag: "v" + constants.DefaultKubernetesVersion, Package: "test/talos/kubelet", Entrypoint: "/usr/local/bin/kubelet",
	}
	Etcd   = Image{Name: "etcd", Tag: EtcdVersion, Entrypoint: "/usr/local/bin/etcd"}
	Pulled = []Image{Kubelet, Etcd}
)
