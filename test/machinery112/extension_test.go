// SPDX-License-Identifier: MPL-2.0

package machinery112

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/blang/semver/v4"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"go.yaml.in/yaml/v4"
)

// unpackedEnv is the environment variable with the folder of the unpacked image. make test-extension sets it.
const unpackedEnv = "SPEGEL_GUARD_UNPACKED"

func TestImage_IsAcceptedByTalos112(t *testing.T) {
	dir := os.Getenv(unpackedEnv)
	if dir == "" {
		t.Skip("run make test-extension, which unpacks the image")
	}

	loaded, err := extensions.Load(dir)
	if err != nil {
		t.Fatal(err)
	}

	talos := semver.MustParse("1.12.6")
	if err := loaded.Validate(extensions.WithValidateConstraints(), extensions.WithValidateContents(), extensions.WithTalosVersion(&talos)); err != nil {
		t.Fatal(err)
	}

	data, err := os.ReadFile(filepath.Join(dir, "rootfs/usr/local/etc/containers/spegel-guard.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	var spec services.Spec

	if err := yaml.Load(data, &spec, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}

	if err := spec.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestPatches_AreAcceptedByTalos112(t *testing.T) {
	files, err := filepath.Glob("../../extension/patches/*.yaml")
	if err != nil || len(files) != 5 {
		t.Fatal(files, err)
	}

	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			provider, err := configloader.NewFromFile(file)
			if err != nil {
				t.Fatal(err)
			}

			if filepath.Base(file) == "firewall.yaml" {
				if rules := provider.NetworkRules().Rules(); len(rules) != 1 {
					t.Error(rules)
				}

				return
			}

			if documents := provider.ExtensionServiceConfigs(); len(documents) != 1 || documents[0].Name() != "spegel-guard" {
				t.Error(documents)
			}
		})
	}
}
