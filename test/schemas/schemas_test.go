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
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	root   = "../.."
	gitops = root + "/examples/gitops"

	flux       = "github.com/fluxcd/kustomize-controller@v1.9.0"
	fluxSource = "github.com/fluxcd/source-controller@v1.9.4"
	argocd     = "github.com/argoproj/argo-cd/v3@v3.5.3"
	prometheus = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	renovates  = "44.121.2"

	operatorCRDs = "example/prometheus-operator-crd/monitoring.coreos.com_"
)

// crds has the definition of each kind: its module, file and version.
var crds = map[string][3]string{
	"monitoring/rules.yaml":        {prometheus, operatorCRDs + "prometheusrules.yaml", "v1"},
	"monitoring/scrapeconfig.yaml": {prometheus, operatorCRDs + "scrapeconfigs.yaml", "v1alpha1"},
	"flux/kustomization.yaml":      {flux, "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml", "v1"},
	"flux/gitrepository.yaml":      {fluxSource, "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml", "v1"},
	"argocd/application.yaml":      {argocd, "manifests/crds/application-crd.yaml", "v1alpha1"},
}

// others are validated by other means: by Kustomize, by a schema in testdata, and by the project's own tests with Talos' loader.
var others = map[string]string{
	"monitoring/kustomization.yaml": "TestMonitoring_BuildsWithKustomize",
	"monitoring/dashboard.json":     "TestMonitoring_BuildsWithKustomize",
	"talhelper/talconfig.yaml":      "TestTalhelper",
	"omni/cluster.yaml":             "TestOmni",
	"talos/spegel-guard.yaml":       "TestPatch in examples/gitops",
}

// TestExamples_HaveASchema: no example is left out.
func TestExamples_HaveASchema(t *testing.T) {
	for _, pattern := range []string{"*/*.yaml", "*/*.json"} {
		files, err := filepath.Glob(filepath.Join(gitops, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files)

		for _, file := range files {
			name, err := filepath.Rel(gitops, file)
			require.NoError(t, err)

			_, crd := crds[name]
			assert.True(t, crd || others[name] != "", name)
		}
	}
}

func TestCRDs(t *testing.T) {
	for name, crd := range crds {
		t.Run(name, func(t *testing.T) {
			dir, err := download(crd[0])
			require.NoError(t, err)

			schema, err := fromCRD(filepath.Join(dir, crd[1]), crd[2])
			require.NoError(t, err)

			file, err := os.ReadFile(filepath.Join(gitops, name))
			require.NoError(t, err)

			documents := parse(t, file)
			require.Len(t, documents, 1)
			require.NoError(t, schema.Validate(documents[0]))

			// The schema refuses what the kind does not have.
			documents[0].(map[string]any)["spec"].(map[string]any)["unknown"] = true
			require.Error(t, schema.Validate(documents[0]))
		})
	}
}

// TestMonitoring_BuildsWithKustomize builds what Flux and Argo CD apply.
func TestMonitoring_BuildsWithKustomize(t *testing.T) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(gitops, "monitoring"))
	require.NoError(t, err)

	kinds := map[string]string{}

	for _, resource := range built.Resources() {
		kinds[resource.GetKind()] = resource.GetName()
		assert.Equal(t, "monitoring", resource.GetNamespace(), resource.GetName())
		assert.Equal(t, "kube-prometheus-stack", resource.GetLabels()["release"], resource.GetName())

		if resource.GetKind() == "ConfigMap" {
			assert.Equal(t, "1", resource.GetLabels()["grafana_dashboard"])
			assert.Contains(t, resource.GetDataMap()["spegel-guard.json"], `"panels"`)
		}
	}

	assert.Equal(t, map[string]string{"PrometheusRule": "spegel-guard", "ScrapeConfig": "spegel-guard", "ConfigMap": "spegel-guard-dashboard"}, kinds)
}

func TestTalhelper(t *testing.T) {
	validate(t, "testdata/talconfig.schema.json", filepath.Join(gitops, "talhelper/talconfig.yaml"), 1, "unknown")
}

func TestOmni(t *testing.T) {
	validate(t, "testdata/omni.schema.json", filepath.Join(gitops, "omni/cluster.yaml"), 3, "unknown")
}

func TestRenovate(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed: it downloads the schema")
	}

	schema, err := renovate(renovates)
	require.NoError(t, err)

	validate(t, schema, root+"/renovate.json", 1, "packageRules")
}

// validate validates a number of documents. With another value of the field wrong they are not valid.
func validate(t *testing.T, schema, file string, count int, wrong string) {
	t.Helper()

	compiled, err := fromJSON(schema)
	require.NoError(t, err)

	data, err := os.ReadFile(file)
	require.NoError(t, err)

	documents := parse(t, data)
	require.Len(t, documents, count)

	for _, document := range documents {
		require.NoError(t, compiled.Validate(document))

		document.(map[string]any)[wrong] = "nonsense"
		assert.Error(t, compiled.Validate(document), "the schema refuses wrong values")
	}
}

// parse returns the documents of a file.
func parse(t *testing.T, data []byte) []any {
	t.Helper()

	var documents []any

	for text := range strings.SplitSeq(string(data), "\n---\n") {
		text, err := yaml.YAMLToJSONStrict([]byte(text))
		require.NoError(t, err)

		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err)

		documents = append(documents, document)
	}

	return documents
}
