// SPDX-License-Identifier: MPL-2.0

package top

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestView_ClipsTexts: a node decides how long its texts are. Combining characters have no width, so that the width of the terminal does not
// bound them.
func TestView_ClipsTexts(t *testing.T) {
	long := "a" + strings.Repeat("\u0301", 1<<19)

	for name, change := range map[string]func(*client.Status, *error){
		"state":       func(s *client.Status, _ *error) { s.State = long },
		"message":     func(s *client.Status, _ *error) { s.Message = long },
		"error":       func(_ *client.Status, err *error) { *err = errors.New(long) },
		"ceiling":     func(s *client.Status, _ *error) { s.Targets[0].Ceiling.Rule = long },
		"rule":        func(s *client.Status, _ *error) { s.Targets[0].Rules[0].Name = long },
		"rule state":  func(s *client.Status, _ *error) { s.Targets[0].Rules[0].State = long },
		"rule reason": func(s *client.Status, _ *error) { s.Targets[0].Rules[0].Reason = long },
		"provenance":  func(s *client.Status, _ *error) { s.Targets[0].CPU = resources.Reading{Provenance: long} },
		"reason":      func(s *client.Status, _ *error) { s.Targets[0].CPU = resources.Unavailable(long) },
		"many rules": func(s *client.Status, _ *error) {
			for range 1 << 14 {
				s.Targets[0].Rules = append(s.Targets[0].Rules, client.Rule{Name: long[:100], RuleStatusSpec: resources.RuleStatusSpec{State: "firing"}})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := fleet("a")
			msg := statusMsg{node: m.nodes[0], at: began.Add(time.Second), status: status(resources.StateOK, limited(usage(0.5)))}
			msg.status.Targets[0].Rules[0].State = "firing"

			change(msg.status, &msg.err)
			m = updated(m, msg)
			assert.Less(t, len(m.View()), 20<<10)
			assert.LessOrEqual(t, len(m.nodes[0].why()), maxText+len("..."))
		})
	}
}
