// SPDX-License-Identifier: MPL-2.0

// Package schemas validates the project's files for other programs by the schemas of those programs.
package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// compile returns a schema for values of JSON. Schemas of CustomResourceDefinitions are of draft 4.
func compile(schema any, draft *jsonschema.Draft) (*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(draft)

	if err := compiler.AddResource("schema.json", schema); err != nil {
		return nil, err
	}

	return compiler.Compile("schema.json")
}

// fromJSON returns the schema of a file.
func fromJSON(path string) (*jsonschema.Schema, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}

	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}

	return compile(schema, jsonschema.Draft2020)
}

// source is the file of a schema.
type source struct {
	module string // empty: the file is in testdata
	file   string
	// version of a CustomResourceDefinition; empty: the file has a JSON schema.
	version string
}

// schema downloads, reads and compiles the schema.
func (s source) schema() (*jsonschema.Schema, error) {
	dir := "testdata"

	if s.module != "" {
		var err error
		if dir, err = download(s.module); err != nil {
			return nil, err
		}
	}

	path := filepath.Join(dir, s.file)
	if s.version == "" {
		return fromJSON(path)
	}

	return fromCRD(path, s.version)
}

// fromCRD returns the schema of a version of a CustomResourceDefinition. Unknown fields, which Kubernetes would drop, are refused.
func fromCRD(path, version string) (*jsonschema.Schema, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}

	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema json.RawMessage `json:"openAPIV3Schema"`
				}
			}
		}
	}

	if err := yaml.Unmarshal(data, &crd); err != nil {
		return nil, err
	}

	for _, v := range crd.Spec.Versions {
		if v.Name != version {
			continue
		}

		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(v.Schema.OpenAPIV3Schema))
		if err != nil {
			return nil, err
		}

		if root, ok := schema.(map[string]any)["properties"].(map[string]any); ok {
			delete(root, "metadata") // Kubernetes validates it
			root["metadata"] = map[string]any{"type": "object"}
		}

		refuseUnknown(schema)

		return compile(schema, jsonschema.Draft4)
	}

	return nil, fmt.Errorf("%s has no version %s", path, version)
}

// refuseUnknown refuses fields that a schema does not name, where it keeps no others.
func refuseUnknown(schema any) {
	object, ok := schema.(map[string]any)
	if !ok {
		return
	}

	properties, _ := object["properties"].(map[string]any)
	if properties != nil && object["additionalProperties"] == nil && object["x-kubernetes-preserve-unknown-fields"] != true {
		object["additionalProperties"] = false
	}

	for _, property := range properties {
		refuseUnknown(property)
	}

	refuseUnknown(object["items"])
	refuseUnknown(object["additionalProperties"])
}

// download returns the folder of a module, from the proxy or the cache.
func download(module string) (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if err != nil {
		return "", fmt.Errorf("failed to download %s: %w: %s", module, err, out)
	}

	var found struct{ Dir string }
	if err := json.Unmarshal(out, &found); err != nil {
		return "", err
	}

	return found.Dir, nil
}

// renovate returns the schema of Renovate's configuration from its package, which is kept in the project's cache.
func renovate(version string) (string, error) {
	cache := os.Getenv("SPEGEL_GUARD_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}

		cache = filepath.Join(home, ".cache", "spegel-guard")
	}

	dir := filepath.Join(cache, "lint", "renovate-"+version)
	path := filepath.Join(dir, "package", "renovate-schema.json")

	if _, err := os.Stat(path); err == nil {
		return path, nil
	}

	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}

	script := `npm pack --silent renovate@"$0" && tar -xzf renovate-"$0".tgz package/renovate-schema.json && rm renovate-"$0".tgz`

	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script, version)
	cmd.Dir = dir

	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("failed to download the schema of Renovate: %w: %s", err, out)
	}

	return path, nil
}
