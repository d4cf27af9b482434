// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// List the state of every rule on one node.
func Example() {
	fleet, err := client.Open(client.Options{Nodes: []string{"10.0.0.1"}})
	if err != nil {
		log.Fatal(err)
	}

	defer fleet.Close()

	rules, err := safe.StateListAll[*resources.RuleStatus](context.Background(), fleet.Nodes()[0].Resources)
	if err != nil {
		log.Fatal(err) //nolint:gocritic // the program ends
	}

	for rule := range rules.All() {
		// <namespace>/<pod>/<container>/<rule>
		fmt.Println(rule.Metadata().ID(), rule.TypedSpec().State)
	}
}

// Read the state of all nodes of the talosconfig's context.
func ExampleAsk() {
	fleet, err := client.Open(client.Options{})
	if err != nil {
		log.Fatal(err)
	}

	defer fleet.Close()

	for result := range client.Ask(context.Background(), fleet, (*client.Node).Status) {
		if result.Err != nil {
			log.Print(result.Err)

			continue
		}

		fmt.Println(result.Node.Name, result.Value.State)
	}
}
