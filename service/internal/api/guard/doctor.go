// SPDX-License-Identifier: MPL-2.0

//go:build linux

package guard

import (
	"context"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// Doctor implements guardv1alpha1.GuardServiceServer.
func (s *Service) Doctor(ctx context.Context, _ *guardv1alpha1.DoctorRequest) (*guardv1alpha1.DoctorResponse, error) {
	checks, err := s.node.Doctor(ctx)
	if err != nil {
		return nil, statusOf(err)
	}

	message := &guardv1alpha1.Checkup{Metadata: s.node.metadata()}

	for _, check := range checks {
		message.Checks = append(message.Checks, &guardv1alpha1.Check{
			Name: check.Name, State: check.State, Message: check.Message, Fix: check.Fix,
		})
	}

	return &guardv1alpha1.DoctorResponse{Messages: []*guardv1alpha1.Checkup{message}}, nil
}
