// SPDX-License-Identifier: MPL-2.0

// Package talos has the constants of Talos' API that the guard uses.
//
// The packages constants and version of Talos' machinery import go-cni and OpenTelemetry: docs/adr/0007-talos-constants.md has
// the figures. A test compares the values with Talos' own.
package talos

const (
	// MaxMessageSize is the largest message of machined in bytes (constants.GRPCMaxMessageSize).
	MaxMessageSize = 32 << 20
	// RoleMetadataKey is the gRPC metadata key of the caller's roles (constants.APIAuthzRoleMetadataKey).
	RoleMetadataKey = "talos-role"
	// ContainerdNamespace has Kubernetes' containers (constants.K8sContainerdNamespace).
	ContainerdNamespace = "k8s.io"
	// Version of Talos' API that the guard is built with (version.Tag).
	Version = "v1.13.4"
)
