// SPDX-License-Identifier: MPL-2.0

// Package manifest writes Kubernetes objects and configuration files of the monitoring as YAML.
package manifest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// Name is the name of the objects, and the value of the label app.kubernetes.io/name.
const Name = "spegel-guard"

// Metadata is the part of an object's metadata that people write.
type Metadata struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// Head is the beginning of an object: its type and its metadata.
type Head struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        Metadata `json:"metadata"`
}

// Placement is where an object goes and how operators select it.
type Placement struct {
	// Namespace of the object; empty is that of the client.
	Namespace string
	// Labels in addition to app.kubernetes.io/name, such as those that a ruleSelector has.
	Labels map[string]string
}

// Validate returns the errors of the namespace and the labels, with the names of the flags.
func (p Placement) Validate() error {
	var errs []error

	if p.Namespace != "" {
		for _, reason := range validation.IsDNS1123Label(p.Namespace) {
			errs = append(errs, fmt.Errorf("invalid --namespace %q: %s", p.Namespace, reason))
		}
	}

	for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
		if reasons := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(p.Labels[key])...); len(reasons) > 0 {
			errs = append(errs, fmt.Errorf("invalid --label %q: %s", key+"="+p.Labels[key], strings.Join(reasons, "; ")))
		}
	}

	return errors.Join(errs...)
}

// NewHead returns the beginning of an object with the name Name.
func NewHead(apiVersion, kind string, placement Placement) Head {
	labels := map[string]string{"app.kubernetes.io/name": Name}
	maps.Copy(labels, placement.Labels)

	return Head{
		TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kind},
		Metadata: Metadata{Name: Name, Namespace: placement.Namespace, Labels: labels},
	}
}

// YAML returns an object or a configuration file as Kubernetes' tools write it.
func YAML(object any) ([]byte, error) {
	text, err := yaml.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("failed to write YAML: %w", err)
	}

	return text, nil
}
