// SPDX-License-Identifier: MPL-2.0

// Package monitoring checks what spegelguardctl prints for the Prometheus operator and Grafana with their schemas.
package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

// operatorEnv is the environment variable with the folder of the Prometheus operator's module. make test-cli sets it.
const operatorEnv = "SPEGEL_GUARD_PROMETHEUS_OPERATOR"

const document = `
metrics: {listen: ":9470", tls: {source: talos}}
rules:
- {name: SpegelHighCPU, signal: cpu, threshold: 550m, for: 10m}
- {name: SpegelHighMemoryAllocation, signal: allocation, threshold: 1G/min, for: 1m}
`

// program builds spegelguardctl once.
var program = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(os.TempDir(), "spegelguardctl-"+strconv.Itoa(os.Getpid()))

	build := exec.Command("go", "build", "-o", binary, "./cmd/spegelguardctl")
	build.Dir = "../.."

	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, output)
	}

	return binary, nil
})

func TestMain(m *testing.M) {
	code := m.Run()

	if binary, err := program(); err == nil {
		_ = os.Remove(binary)
	}

	os.Exit(code)
}

// printed returns the output of spegelguardctl with the document.
func printed(t *testing.T, args ...string) []byte {
	t.Helper()

	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}

	if args[0] != "dashboard" {
		path := filepath.Join(t.TempDir(), "guard.yaml")
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}

		args = append(args, "--config", path)
	}

	output, err := exec.CommandContext(t.Context(), binary, args...).Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}

	return output
}

// TestObjects_MatchTheirTypes: unknown fields and fields of another type are errors.
func TestObjects_MatchTheirTypes(t *testing.T) {
	placement := []string{"--namespace", "monitoring", "--label", "release=kube-prometheus-stack"}

	for _, test := range []struct {
		name, crd string
		args      []string
		object    any
	}{
		{"rules", "prometheusrules", []string{"rules"}, &monitoringv1.PrometheusRule{}},
		{"scrape", "scrapeconfigs", []string{"scrape"}, &monitoringv1alpha1.ScrapeConfig{}},
		{"dashboard", "", []string{"dashboard", "--form", "configmap"}, &corev1.ConfigMap{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := printed(t, append(test.args, placement...)...)

			if err := yaml.UnmarshalStrict(text, test.object); err != nil {
				t.Errorf("%v\n%s", err, text)
			}

			if test.crd != "" {
				checkCRD(t, test.crd, text)
			}
		})
	}
}

// checkCRD checks an object with the schema of the operator's custom resource: enumerations, patterns and required fields.
func checkCRD(t *testing.T, name string, object []byte) {
	t.Helper()

	dir := os.Getenv(operatorEnv)
	if dir == "" {
		t.Skip(operatorEnv + " is not set: make test-cli sets it")
	}

	text, err := os.ReadFile(filepath.Join(dir, "example/prometheus-operator-crd/monitoring.coreos.com_"+name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}

	var (
		crd struct {
			Spec struct {
				Versions []struct {
					Schema struct {
						Schema spec.Schema `json:"openAPIV3Schema"`
					} `json:"schema"`
				} `json:"versions"`
			} `json:"spec"`
		}
		value any
	)

	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}

	if err := yaml.Unmarshal(object, &value); err != nil {
		t.Fatal(err)
	}

	check := func() []error {
		return validate.NewSchemaValidator(&crd.Spec.Versions[0].Schema.Schema, nil, "", strfmt.Default).Validate(value).Errors
	}

	for _, err := range check() {
		t.Error(err)
	}

	// The schema does check.
	value.(map[string]any)["spec"] = "none"

	if len(check()) == 0 {
		t.Error("the schema accepts everything")
	}
}

// TestDashboard_MatchesTheSchemaOfGrafana: of the dashboard, its variables and each kind of panel.
func TestDashboard_MatchesTheSchemaOfGrafana(t *testing.T) {
	plugins.RegisterDefaultPlugins()

	var found dashboard.Dashboard

	// Without an error it returns an empty list of errors, which is not nil.
	if err := found.UnmarshalJSONStrict(printed(t, "dashboard")); err.Error() != "" {
		t.Fatal(err)
	}

	if err := found.Validate(); err != nil {
		t.Error(err)
	}

	// The ConfigMap has the same dashboard.
	var object corev1.ConfigMap

	if err := yaml.UnmarshalStrict(printed(t, "dashboard", "--form", "configmap"), &object); err != nil {
		t.Fatal(err)
	}

	if object.Labels["grafana_dashboard"] != "1" || !json.Valid([]byte(object.Data["spegel-guard.json"])) {
		t.Errorf("labels %v, data %d", object.Labels, len(object.Data))
	}

	if len(found.Panels) < 19 {
		t.Errorf("%d panels", len(found.Panels))
	}
}
