// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// NodeStatsType is the type of NodeStats.
const NodeStatsType = resource.Type("NodeStats.spegelguard.dev")

// NodeStatsID is the only id.
const NodeStatsID = "node"

// NodeStats is the newest reading of the node that a target's load comes from, and shows on.
type NodeStats = typed.Resource[NodeStatsSpec, NodeStatsExtension]

// NewNodeStats returns an empty NodeStats.
func NewNodeStats() *NodeStats {
	return create[NodeStatsSpec, NodeStatsExtension](NodeStatsType, NodeStatsID)
}

// NodeStatsExtension gives NodeStats its definition.
type NodeStatsExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s NodeStatsSpec) DeepCopy() NodeStatsSpec { return s }

func init() { register[NodeStatsSpec, NodeStatsExtension](NodeStatsType) }

// NodeStatsSpec is one sample.
type NodeStatsSpec struct {
	// At is when, Clock the same on CLOCK_BOOTTIME. Values that are read less often say no time of their own.
	At    time.Time     `yaml:"at,omitempty" protobuf:"1"`
	Clock time.Duration `yaml:"clock" protobuf:"2"`
	// ContentBlobs are the complete blobs in containerd's content store, ContentBytes their size.
	ContentBlobs Reading `yaml:"contentBlobs" protobuf:"3"`
	ContentBytes Reading `yaml:"contentBytes" protobuf:"4"`
	// DiskBytes is the size of the file system with the content store (/var on Talos), DiskUsedBytes what
	// is in use of it, and DiskUsedRatio the share of what users may use, 0..1, as df shows it.
	DiskBytes     Reading `yaml:"diskBytes" protobuf:"5"`
	DiskUsedBytes Reading `yaml:"diskUsedBytes" protobuf:"6"`
	DiskUsedRatio Reading `yaml:"diskUsedRatio" protobuf:"7"`
	// Pods are the ready pod sandboxes.
	Pods Reading `yaml:"pods" protobuf:"8"`
	// Bytes per second over the node's physical links.
	TXBytesPerSecond Reading `yaml:"txBytesPerSecond" protobuf:"9"`
	RXBytesPerSecond Reading `yaml:"rxBytesPerSecond" protobuf:"10"`
	// NFS: bytes to and from the servers, operations, and the mean time from a request to its answer, in
	// seconds, over all mounts.
	NFSReadBytesPerSecond  Reading `yaml:"nfsReadBytesPerSecond" protobuf:"11"`
	NFSWriteBytesPerSecond Reading `yaml:"nfsWriteBytesPerSecond" protobuf:"12"`
	NFSOperationsPerSecond Reading `yaml:"nfsOperationsPerSecond" protobuf:"13"`
	NFSRoundTripSeconds    Reading `yaml:"nfsRoundTripSeconds" protobuf:"14"`
	// TXBytes and RXBytes are the links' cumulative counters.
	TXBytes uint64 `yaml:"txBytes" protobuf:"15"`
	RXBytes uint64 `yaml:"rxBytes" protobuf:"16"`
	// Pretty has the values of columns as text.
	Pretty *Pretty `yaml:"pretty,omitempty" protobuf:"-"`
}

// ResourceDefinition implements typed.Extension.
func (NodeStatsExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(NodeStatsType, []resource.Type{"nodestat"},
		column("Blobs", ".pretty.blobs"), column("Disk used", ".pretty.diskUsed"), column("Pods", ".pretty.pods"),
		column("TX", ".pretty.tx"), column("RX", ".pretty.rx"),
		column("NFS operations", ".pretty.nfs"), column("NFS RTT", ".pretty.nfsRTT"))
}
