// SPDX-License-Identifier: MPL-2.0

package schemas

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const (
	root   = "../.."
	gitops = root + "/examples/gitops"

	kustomizeController = "github.com/fluxcd/kustomize-controller@v1.9.0"
	sourceController    = "github.com/fluxcd/source-controller@v1.9.4"
	helmController      = "github.com/fluxcd/helm-controller@v1.4.0"
	prometheusOperator  = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	renovates           = "44.121.2"

	crds         = "config/crd/bases/"
	operatorCRDs = "example/prometheus-operator-crd/monitoring.coreos.com_"
)

// sources has the schema of each kind of object, and of files of other programs by their name.
var sources = map[string]source{
	"monitoring.coreos.com/v1 PrometheusRule":      {prometheusOperator, operatorCRDs + "prometheusrules.yaml", "v1"},
	"monitoring.coreos.com/v1alpha1 ScrapeConfig":  {prometheusOperator, operatorCRDs + "scrapeconfigs.yaml", "v1alpha1"},
	"kustomize.toolkit.fluxcd.io/v1 Kustomization": {kustomizeController, crds + "kustomize.toolkit.fluxcd.io_kustomizations.yaml", "v1"},
	"source.toolkit.fluxcd.io/v1 GitRepository":    {sourceController, crds + "source.toolkit.fluxcd.io_gitrepositories.yaml", "v1"},
	"source.toolkit.fluxcd.io/v1 OCIRepository":    {sourceController, crds + "source.toolkit.fluxcd.io_ocirepositories.yaml", "v1"},
	"helm.toolkit.fluxcd.io/v2 HelmRelease":        {helmController, crds + "helm.toolkit.fluxcd.io_helmreleases.yaml", "v2"},
	"argoproj.io/v1alpha1 Application":             {"", "argocd-application.yaml", "v1alpha1"},
	"talconfig.yaml":                               {"", "talconfig.schema.json", ""},
	"omni-cluster.yaml":                            {"", "omni.schema.json", ""},
}

// others are validated by other means.
var others = map[string]string{
	"kustomize.config.k8s.io/v1beta1 Kustomization": "TestMonitoring_BuildsWithKustomize",
	"v1 ConfigMap":                                    "TestDashboard_HasTheSameContentInEachForm in cmd/spegelguardctl, with the type of Kubernetes",
	"v1 Namespace":                                    "it has a name only",
	"v1alpha1 ExtensionServiceConfig":                 "TestGitOps_HasADocument in examples/install, with Talos' loader",
	"install-image.yaml":                              "TestInstallImage_IsInstaller in examples/install, with Talos' loader",
	"flux-talos-access.yaml":                          "TestFlux_VersionsAgree in examples/install, with Talos' loader",
	"tuppr.home-operations.com/v1alpha1 TalosUpgrade": "TestFlux_VersionsAgree in examples/install; its module is not in the proxy",
}

// files returns all examples, and what spegelguardctl prints with TLS and labels.
func files(t *testing.T) []string {
	t.Helper()

	var found []string

	for pattern, least := range map[string]int{
		"examples/install/*.yaml": 6, "examples/gitops/*/*.yaml": 8,
		"cmd/spegelguardctl/testdata/scrape.golden": 1, "cmd/spegelguardctl/testdata/rules-kube-prometheus.golden": 1,
	} {
		matches, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(matches), least, pattern)

		found = append(found, matches...)
	}

	return found
}

// TestFiles_MatchTheirSchemas: no file is left out.
func TestFiles_MatchTheirSchemas(t *testing.T) {
	used := map[string]bool{}

	for _, file := range files(t) {
		data, err := os.ReadFile(file)
		require.NoError(t, err)

		for _, document := range parse(t, data) {
			name := filepath.Base(file)
			if version, ok := document["apiVersion"].(string); ok {
				name = version + " " + document["kind"].(string)
			}

			used[name] = true

			source, ok := sources[name]
			if !ok {
				assert.NotEmpty(t, others[name], "%s: %s has no schema", file, name)

				continue
			}

			t.Run(strings.TrimPrefix(file, root+"/")+" "+name, func(t *testing.T) {
				schema, err := source.schema()
				require.NoError(t, err)

				wrong := document
				if spec, ok := document["spec"].(map[string]any); ok {
					wrong = spec
				}

				validate(t, schema, document, func() { wrong["unknown"] = true })
			})
		}
	}

	for name := range sources {
		assert.True(t, used[name], "no file has %s", name)
	}

	for name := range others {
		assert.True(t, used[name], "no file has %s", name)
	}
}

func TestRenovate(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed: it downloads the schema")
	}

	path, err := renovate(renovates)
	require.NoError(t, err)

	schema, err := fromJSON(path)
	require.NoError(t, err)

	data, err := os.ReadFile(filepath.Join(root, "renovate.json"))
	require.NoError(t, err)

	document := parse(t, data)[0]

	validate(t, schema, document, func() { document["packageRules"] = "nonsense" })
}

// validate validates a document. After spoil it is not valid.
func validate(t *testing.T, schema *jsonschema.Schema, document any, spoil func()) {
	t.Helper()

	require.NoError(t, schema.Validate(document))

	spoil()
	assert.Error(t, schema.Validate(document), "the schema refuses wrong values")
}

// parse returns the documents of a file.
func parse(t *testing.T, data []byte) []map[string]any {
	t.Helper()

	var documents []map[string]any

	for text := range strings.SplitSeq(string(data), "\n---\n") {
		text, err := yaml.YAMLToJSONStrict([]byte(text))
		require.NoError(t, err)

		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err)

		documents = append(documents, document.(map[string]any))
	}

	return documents
}
