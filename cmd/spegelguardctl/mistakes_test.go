// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// TestGolden_Mistakes prints what a command line with a mistake is answered. No node is contacted.
func TestGolden_Mistakes(t *testing.T) {
	var text strings.Builder

	for _, line := range []string{
		// Flags are named as they were typed.
		"config generate --mode kill --interval e --namespace F_ --cpu much --tx x --alloc y --for z --window q --ceiling c --floor f --hold a --release-after b --on-stop s --metrics d",
		"throttle -n all --ceiling lots",
		"throttle -n all --for 1y",
		"status --timeout 0s",
		"compare --interval x",
		"history --since x",
		"events --tail x",
		"events --tail 51",
		"rules --form nope",
		"report --form nope",
		// Overrides name their nodes.
		"release", "throttle --ceiling 300m", "pause", "resume", "release -n <empty>", "throttle -n <empty>", "pause --nodes <empty>", "resume -n <empty>",
		// Formats.
		"status -o xml", "status -o jsonpath", "status -o jsonpath=", "status -o jsonpath={.", "config generate -o json",
		"config suggest -o json",
		// Arguments.
		"config validate", "config validate a b", "replay", "replay a b", "explain a b", "status talos-prod-1", "dashboard x", "frob", "config frob", "rules x",
		"status --nope", "throttle -n all --reason",
	} {
		var out strings.Builder

		a := newApp()
		a.stdout, a.stderr = &out, &out
		a.open = func(client.Options) (*client.Fleet, error) { return nil, errors.New("a node was contacted") }

		args := strings.Fields(line)

		for i, arg := range args {
			if arg == "<empty>" {
				args[i] = ""
			}
		}

		root := a.root()
		root.SetArgs(args)

		err := root.ExecuteContext(context.Background())
		assert.Equal(t, 1, exitCode(err), line)
		assert.NotContains(t, fmt.Sprint(err), "a node was contacted", line)
		fmt.Fprintf(&text, "$ spegelguardctl %s\n%s%s\n\n", line, out.String(), strings.ReplaceAll(fmt.Sprint(err), "; invalid", ";\n  invalid"))
	}

	compareGolden(t, "mistakes", text.String())
}

func TestVersion_IsAFlag(t *testing.T) {
	c := &cluster{}
	assert.Equal(t, ran{stdout: "spegelguardctl version dev\n"}, c.run("--version"))
}
