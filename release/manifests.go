// SPDX-License-Identifier: MPL-2.0

package release

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// Manifests returns the manifests of package managers by name: a krew plugin and a Homebrew formula. Repository is the address of
// the project, from whose releases the archives are downloaded.
func Manifests(repository, version string, artifacts []Artifact) (map[string][]byte, error) {
	// A user sees the version without v in Homebrew.
	values := struct {
		Repository, Version, Number string
		Artifacts                   []Artifact
		By                          map[string]Artifact
		// Systems are the names of operating systems in Homebrew.
		Systems map[string]string
	}{
		repository, version, strings.TrimPrefix(version, "v"), artifacts, map[string]Artifact{}, map[string]string{"darwin": "macos", "linux": "linux"},
	}

	for _, artifact := range artifacts {
		values.By[artifact.OS+"_"+artifact.Arch] = artifact
	}

	manifests := map[string][]byte{}

	for _, name := range []string{"spegel-guard.yaml", "spegelguardctl.rb"} {
		parsed, err := template.New(name+".tmpl").Option("missingkey=error").ParseFS(templates, "templates/"+name+".tmpl")
		if err != nil {
			return nil, fmt.Errorf("failed to parse the template of %s: %w", name, err)
		}

		var text bytes.Buffer
		if err := parsed.Execute(&text, values); err != nil {
			return nil, fmt.Errorf("failed to fill in %s: %w", name, err)
		}

		manifests[name] = text.Bytes()
	}

	return manifests, nil
}
