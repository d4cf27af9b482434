// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/version"
	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/talos"
)

func TestConstants_EqualThoseOfTalos(t *testing.T) {
	assert.EqualValues(t, constants.GRPCMaxMessageSize, talos.MaxMessageSize)
	assert.Equal(t, constants.APIAuthzRoleMetadataKey, talos.RoleMetadataKey)
	assert.Equal(t, constants.K8sContainerdNamespace, talos.ContainerdNamespace)
	assert.Equal(t, version.Tag, talos.Version)
}
