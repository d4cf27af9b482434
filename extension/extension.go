// Package extension describes what the Talos system extension installs on a node.
package extension

import "path/filepath"

// Name of the extension and of its service (Talos shows it as ext-spegel-guard).
const Name = "spegel-guard"

// Paths on the node, as Talos prescribes them for extension services
// (pkg/machinery/constants: ExtensionServiceConfigPath, ExtensionServiceRootfsPath).
const (
	ServicePath = "/usr/local/etc/containers/" + Name + ".yaml"
	RootfsPath  = "/usr/local/lib/containers/" + Name
	BinaryPath  = RootfsPath + "/" + Name
)

// Files maps each path on the node to its source: the built daemon and the files of this source tree.
func Files(binary, sourceTree string) map[string]string {
	return map[string]string{
		ServicePath: filepath.Join(sourceTree, "extension", Name+".yaml"),
		BinaryPath:  binary,
	}
}
