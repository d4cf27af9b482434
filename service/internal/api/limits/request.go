// SPDX-License-Identifier: MPL-2.0

package limits

import (
	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Bounds of a request for resources. The longest id is that of a rule, <namespace>/<pod>/<container>/<rule>.
const (
	maxID      = 1024
	maxLabels  = 16 // terms of a query, and values of a term
	maxQueries = 16
)

// CheckRequest returns an error for a request whose service would keep or compute more than the answer is worth: an in-memory
// state keeps every namespace and type that a request names, the health service every name that is watched, and a regular
// expression of a few bytes compiles to megabytes.
func CheckRequest(message any) error {
	switch r := message.(type) {
	case *grpc_health_v1.HealthCheckRequest:
		if r.GetService() != "" {
			return status.Error(codes.NotFound, "invalid service: must be empty for the health of the guard")
		}
	case *v1alpha1.GetRequest:
		return checkResource(r.GetNamespace(), r.GetType(), r.GetId())
	case *v1alpha1.ListRequest:
		if err := checkQuery(r.GetOptions().GetLabelQuery(), r.GetOptions().GetIdQuery()); err != nil {
			return err
		}

		return checkResource(r.GetNamespace(), r.GetType(), "")
	case *v1alpha1.WatchRequest:
		if err := checkQuery(r.GetOptions().GetLabelQuery(), r.GetOptions().GetIdQuery()); err != nil {
			return err
		}

		return checkResource(r.GetNamespace(), r.GetType(), r.GetId())
	}

	return nil
}

func checkResource(namespace resource.Namespace, kind resource.Type, id resource.ID) error {
	known := namespace == meta.NamespaceName && (kind == meta.NamespaceType || kind == meta.ResourceDefinitionType) ||
		namespace == resources.Namespace && resources.IsType(kind)

	switch {
	case !known:
		return status.Errorf(codes.NotFound, "the guard has no resources of type %.64q in namespace %.64q", kind, namespace)
	case len(id) > maxID:
		return status.Errorf(codes.InvalidArgument, "invalid id: must have at most %d bytes", maxID)
	default:
		return nil
	}
}

func checkQuery(labels []*v1alpha1.LabelQuery, id *v1alpha1.IDQuery) error {
	if id.GetRegexp() != "" {
		return status.Error(codes.InvalidArgument, "invalid query: regular expressions are not served, filter the list in the client")
	}

	if len(labels) > maxQueries {
		return status.Errorf(codes.InvalidArgument, "invalid query: must have at most %d label queries", maxQueries)
	}

	for _, query := range labels {
		if len(query.GetTerms()) > maxLabels {
			return status.Errorf(codes.InvalidArgument, "invalid query: must have at most %d terms", maxLabels)
		}

		for _, term := range query.GetTerms() {
			if len(term.GetValue()) > maxLabels {
				return status.Errorf(codes.InvalidArgument, "invalid query: must have at most %d values of a label", maxLabels)
			}

			// COSI's server takes the first value of a comparison without a look at how many there are.
			if len(term.GetValue()) == 0 && compares(term.GetOp()) {
				return status.Errorf(codes.InvalidArgument, "invalid query: a term with %s must have a value", term.GetOp())
			}
		}
	}

	return nil
}

// compares reports whether an operation of a term has a value.
func compares(op v1alpha1.LabelTerm_Operation) bool {
	switch op {
	case v1alpha1.LabelTerm_EXISTS, v1alpha1.LabelTerm_NOT_EXISTS, v1alpha1.LabelTerm_IN: //nolint:staticcheck // served
		return false
	default:
		return true
	}
}
