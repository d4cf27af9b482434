// SPDX-License-Identifier: MPL-2.0

// Package initramfs has the paths that the image and its first process (test/talos/preinit) share.
package initramfs

// Paths in the initramfs.
const (
	// ModuleFolder has the kernel modules. It is removed once they are loaded.
	ModuleFolder = "/modules"
	// ModuleList names the modules' files, one a line, in loading order.
	ModuleList = ModuleFolder + "/load"
	// TalosInit is Talos' own init.
	TalosInit = "/talos-init"
)
