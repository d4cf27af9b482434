// SPDX-License-Identifier: MPL-2.0

package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

// SPDX returns an SPDX 2.3 document of the modules. It is reproducible: the namespace is a hash of the modules, and the date is
// the Unix epoch.
func SPDX(name, version, arch string, modules []Module) ([]byte, error) {
	root := spdx.ElementID("Package-" + name)

	document := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: name + "-" + version + "-" + arch,
		CreationInfo: &spdx.CreationInfo{
			Created:  "1970-01-01T00:00:00Z",
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "spegel-guard-mkextension"}},
		},
		Packages: []*spdx.Package{{
			PackageName: name, PackageVersion: version, PackageSPDXIdentifier: root, PackageDownloadLocation: NoAssertion,
			PackageLicenseConcluded: "MPL-2.0", PackageLicenseDeclared: "MPL-2.0", PackageCopyrightText: NoAssertion,
		}},
		Relationships: []*spdx.Relationship{relation("DOCUMENT", root, common.TypeRelationshipDescribe)},
	}

	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s %s\n", name, version, arch) //nolint:errcheck // a hash takes everything

	for i, module := range modules {
		fmt.Fprintf(hash, "%s %s %s %s\n", module.Path, module.Version, module.Sum, module.Licence) //nolint:errcheck // a hash takes everything

		id := spdx.ElementID(fmt.Sprintf("Package-go-%d", i))
		document.Packages = append(document.Packages, modulePackage(id, module))
		document.Relationships = append(document.Relationships, relation(root, id, common.TypeRelationshipContains))
	}

	document.DocumentNamespace = "https://spdx.org/spdxdocs/" + document.DocumentName + "-" + hex.EncodeToString(hash.Sum(nil))

	var text bytes.Buffer

	if err := json.Write(document, &text, json.Indent(" ")); err != nil {
		return nil, fmt.Errorf("failed to write the bill of materials: %w", err)
	}

	return text.Bytes(), nil
}

func relation(from, to spdx.ElementID, kind string) *spdx.Relationship {
	return &spdx.Relationship{RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)), Relationship: kind}
}

func modulePackage(id spdx.ElementID, module Module) *spdx.Package {
	p := &spdx.Package{
		PackageName: module.Path, PackageVersion: module.Version, PackageSPDXIdentifier: id, PackageDownloadLocation: NoAssertion,
		PackageLicenseConcluded: NoAssertion, PackageLicenseDeclared: module.Licence, PackageCopyrightText: NoAssertion,
		PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: "pkg:golang/" + module.Path + "@" + module.Version,
		}},
	}

	// The hash of go.sum is of a list of files, not of an archive, so it is no SPDX checksum and stands in the comment.
	if module.Sum != "" {
		p.PackageComment = "go.sum " + module.Sum
	}

	return p
}
