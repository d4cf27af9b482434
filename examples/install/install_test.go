// SPDX-License-Identifier: MPL-2.0

// Package install_test checks the examples with Talos' configuration loader. test/schemas validates the files of Flux, talhelper and
// Omni, which are not run.
package install_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/extension"
	guardconfig "github.com/spegel-guard/spegel-guard/pkg/config"
)

// The image in all examples, and the port of the guards' API.
const (
	repository = "ghcr.io/you/installer"
	port       = 50321
)

// talosVersion is the version in all examples, from the Makefile.
func talosVersion(t *testing.T) string {
	t.Helper()

	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)

	_, rest, found := strings.Cut(string(makefile), "\nTALOS   ?= ")
	require.True(t, found)

	version, _, _ := strings.Cut(rest, "\n")

	return version
}

// load decodes the YAML documents of a file. The fields of T must be all fields of the document.
func load[T any](t *testing.T, path string) T {
	t.Helper()

	data, err := os.ReadFile(path)
	require.NoError(t, err)

	var decoded T

	require.NoError(t, yaml.Load(data, &decoded, yaml.WithKnownFields()), path)

	return decoded
}

// decoded decodes patches ("@" and a file, or YAML) as Talos does: unknown fields are errors. Documents must be valid.
func decoded(t *testing.T, patches ...string) config.Provider {
	t.Helper()

	var texts []string

	for _, patch := range patches {
		if path, isFile := strings.CutPrefix(patch, "@"); isFile {
			data, err := os.ReadFile(path)
			require.NoError(t, err)

			patch = string(data)
		}

		texts = append(texts, patch)
	}

	provider, err := configloader.NewFromBytes([]byte(strings.Join(texts, "\n---\n")))
	require.NoError(t, err)

	for _, document := range provider.Documents() {
		// A patch has a part of this one.
		if _, isPart := document.(*v1alpha1.Config); isPart {
			continue
		}

		if validator, ok := document.(interface {
			Validate(mode validation.RuntimeMode, options ...validation.Option) ([]string, error)
		}); ok {
			warnings, err := validator.Validate(mode{})
			require.NoError(t, err)
			assert.Empty(t, warnings)
		}
	}

	return provider
}

// mode is an installed node (validation.RuntimeMode).
type mode struct{}

func (mode) String() string        { return "metal" }
func (mode) RequiresInstall() bool { return true }
func (mode) InContainer() bool     { return false }

// assertDocument: the configuration has a document of the guard, in mode observe, with the default rules.
func assertDocument(t *testing.T, provider config.Provider) {
	t.Helper()

	documents := provider.ExtensionServiceConfigs()
	require.Len(t, documents, 1)
	assert.Equal(t, extension.Name, documents[0].Name())
	require.Len(t, documents[0].ConfigFiles(), 1)
	assert.Equal(t, guardconfig.Path, documents[0].ConfigFiles()[0].MountPath())

	parsed, err := guardconfig.Parse([]byte(documents[0].ConfigFiles()[0].Content()))
	require.NoError(t, err)
	assert.Equal(t, guardconfig.ModeObserve, parsed.Mode)
	assert.Equal(t, guardconfig.Default().Rules, parsed.Rules)
}

// assertPort: the ingress firewall opens the port of the guards.
func assertPort(t *testing.T, provider config.Provider) {
	t.Helper()

	rules := provider.NetworkRules().Rules()
	require.Len(t, rules, 1)
	assert.Equal(t, [][2]uint16{{port, port}}, rules[0].PortRanges())
	assert.Equal(t, "tcp", rules[0].Protocol().String())
	assert.NotEmpty(t, rules[0].Subnets())
}

func TestFirewallPatch_OpensPort(t *testing.T) {
	assert.Contains(t, guardconfig.Default().API.Listen, ":50321")
	assertPort(t, decoded(t, "@../../extension/patches/firewall.yaml"))
}

func TestInstallImage_IsInstaller(t *testing.T) {
	provider := decoded(t, "@install-image.yaml")
	assert.Equal(t, repository+":"+talosVersion(t), provider.Machine().Install().Image())
}

// TestGitOps_HasADocument: of which make generate makes the monitoring.
func TestGitOps_HasADocument(t *testing.T) {
	assertDocument(t, decoded(t, "@../gitops/talos/spegel-guard.yaml"))
}

// talconfig has the fields of talhelper's configuration that the example uses (budimanjojo/talhelper,
// docs/docs/reference/configuration.md).
type talconfig struct {
	ClusterName       string   `yaml:"clusterName"`
	TalosVersion      string   `yaml:"talosVersion"`
	KubernetesVersion string   `yaml:"kubernetesVersion"`
	Endpoint          string   `yaml:"endpoint"`
	Patches           []string `yaml:"patches"`
	Nodes             []struct {
		Hostname      string `yaml:"hostname"`
		IPAddress     string `yaml:"ipAddress"`
		ControlPlane  bool   `yaml:"controlPlane"`
		InstallDisk   string `yaml:"installDisk"`
		TalosImageURL string `yaml:"talosImageURL"`
	} `yaml:"nodes"`
}

func TestTalhelper_PatchesApply(t *testing.T) {
	example := load[talconfig](t, "talconfig.yaml")
	assert.Equal(t, talosVersion(t), example.TalosVersion)
	assert.Equal(t, "v"+constants.DefaultKubernetesVersion, example.KubernetesVersion)

	for _, node := range example.Nodes {
		assert.Equal(t, repository, node.TalosImageURL, "talhelper appends the version")
	}

	provider := decoded(t, example.Patches...)
	assertDocument(t, provider)
	assertPort(t, provider)
}

// omniDocument has the fields of Omni's templates that the example uses (siderolabs/omni client/pkg/template/internal/models).
type omniDocument struct {
	Kind             string                   `yaml:"kind"`
	Name             string                   `yaml:"name"`
	Kubernetes       struct{ Version string } `yaml:"kubernetes"`
	Talos            struct{ Version string } `yaml:"talos"`
	SystemExtensions []string                 `yaml:"systemExtensions"`
	Machines         []string                 `yaml:"machines"`
	Patches          []struct {
		Name   string         `yaml:"name"`
		File   string         `yaml:"file"`
		Inline map[string]any `yaml:"inline"`
	} `yaml:"patches"`
}

func TestOmni_PatchesApply(t *testing.T) {
	data, err := os.ReadFile("omni-cluster.yaml")
	require.NoError(t, err)

	var (
		kinds   []string
		patches []string
	)

	for part := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var document omniDocument

		require.NoError(t, yaml.Load(part, &document, yaml.WithKnownFields()))

		kinds = append(kinds, document.Kind)

		for _, patch := range document.Patches {
			if patch.File != "" {
				patches = append(patches, "@"+patch.File)

				continue
			}

			// Omni requires a name for it.
			assert.NotEmpty(t, patch.Name)

			inline, err := yaml.Dump(patch.Inline)
			require.NoError(t, err)

			patches = append(patches, string(inline))
		}

		if document.Kind == "Cluster" {
			assert.Equal(t, talosVersion(t), document.Talos.Version)
			assert.Equal(t, "v"+constants.DefaultKubernetesVersion, document.Kubernetes.Version)
			assert.Equal(t, extension.Name, filepath.Base(document.SystemExtensions[0]))
		}
	}

	assert.Equal(t, []string{"Cluster", "ControlPlane", "Workers"}, kinds)

	provider := decoded(t, patches...)
	assertDocument(t, provider)
	assertPort(t, provider)
}

func TestFlux_VersionsAgree(t *testing.T) {
	upgrade := load[struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
		Spec       struct {
			Talos        struct{ Version string }
			HealthChecks []struct {
				APIVersion string `yaml:"apiVersion"`
				Kind, Expr string
			} `yaml:"healthChecks"`
		}
	}](t, "flux-talosupgrade.yaml")
	assert.Equal(t, talosVersion(t), upgrade.Spec.Talos.Version)

	access := decoded(t, "@flux-talos-access.yaml").Machine().Features().KubernetesTalosAPIAccess()
	require.True(t, access.Enabled())

	flux, err := os.ReadFile("flux-upgrades.yaml")
	require.NoError(t, err)

	for _, namespace := range access.AllowedKubernetesNamespaces() {
		assert.Contains(t, string(flux), "kind: Namespace\nmetadata:\n  name: "+namespace+"\n")
	}
}
