// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// maxValues bounds a document with its aliases replaced. A few lines of aliases of aliases have any number of values.
const maxValues = 100_000

// expand replaces each alias by a copy of what it stands for, as if it was written there: the values of a document are decoded from
// their text, which an alias has none of, and a wrong value is removed at one place only.
func expand(node *yaml.Node, values *int) error {
	if *values++; *values > maxValues {
		return fmt.Errorf("failed to read the document: with its aliases replaced it has more than %d values", maxValues)
	}

	if node.Kind == yaml.AliasNode {
		line := node.Line
		*node, node.Line = *node.Alias, line
	}

	node.Anchor = ""
	content := make([]*yaml.Node, len(node.Content))

	for i, child := range node.Content {
		copied := *child
		content[i] = &copied

		if err := expand(content[i], values); err != nil {
			return err
		}
	}

	node.Content = content

	return nil
}
