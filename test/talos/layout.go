// SPDX-License-Identifier: MPL-2.0

package talos

// Contents of the root file system except programs, from the stages "rootfs-base" and "rootfs" of Talos' Dockerfile.
var (
	rootFolders = []string{
		"dev", "proc", "sys", "run", "tmp", "var", "root", "system", "mnt", ".extra", "boot/EFI", "boot/firmware",
		"etc/iscsi", "etc/nvme", "etc/cri/conf.d/hosts", "etc/kubernetes/manifests", "etc/cni/net.d", "etc/ssl/certs",
		"etc/selinux/targeted/contexts/files", "etc/udev", "etc/lvm", "usr/bin", "usr/etc", "usr/lib/firmware",
		"usr/lib/modules", "usr/lib/udev/rules.d", "usr/lib/systemd/network", "usr/libexec/kubernetes", "usr/share/spdx",
		"usr/local/etc", "usr/local/lib/kubelet/credentialproviders", "usr/local/share", "usr/share/zoneinfo/Etc",
		"opt/cni/bin", "opt/containerd/bin", "opt/containerd/lib",
	}

	rootLinks = map[string]string{
		"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "usr/sbin": "bin", "usr/lib64": "lib",
		"etc/ssl/certs/ca-certificates": "ca-certificates.crt", "etc/pki": "/etc/ssl", "etc/ca-certificates": "/etc/ssl",
		"usr/share/ca-certificates": "/etc/ssl", "usr/local/share/ca-certificates": "/etc/ssl",
	}

	// rootFiles are mount points of files, and the few files with content.
	rootFiles = map[string]string{
		"etc/extensions.yaml": "", "etc/resolv.conf": "", "etc/hosts": "", "etc/machine-id": "",
		"etc/cri/conf.d/cri.toml": "", "etc/cri/conf.d/01-registries.part": "", "etc/cri/conf.d/20-customization.part": "",
		"etc/cri/conf.d/base-spec.json": "", "etc/ssl/certs/ca-certificates.crt": "",
		"etc/selinux/targeted/contexts/files/file_contexts": "", "etc/iscsi/initiatorname.iscsi": "",
		"etc/nvme/hostid": "", "etc/nvme/hostnqn": "",
		"etc/passwd":     "root:x:0:0:root:/root:/bin/false\n",
		"etc/group":      "root:x:0:\ntty:x:5:\ndisk:x:6:\nkmem:x:9:\ninput:x:24:\ncdrom:x:11:\nvideo:x:39:\nrender:x:40:\nsgx:x:41:\ntape:x:42:\ndialout:x:43:\nlp:x:44:\nkvm:x:45:\naudio:x:46:\n",
		"etc/os-release": "NAME=\"Talos\"\nID=talos\nVERSION_ID=" + Version + "\nPRETTY_NAME=\"Talos (" + Version + ")\"\n",
		// Talos selects the options of mkfs.xfs by the series of its kernel. Debian's defaults are sufficient.
		"usr/share/xfsprogs/mkfs/lts_6.18.conf": "[metadata]\n",
		"usr/share/zoneinfo/Etc/UTC":            "",
	}

	// rootConfigs are Talos' own configuration files, by their names in its source tree.
	rootConfigs = map[string]string{
		"hack/containerd.toml":          "etc/containerd/config.toml",
		"hack/cri-containerd.toml":      "etc/cri/containerd.toml",
		"hack/cri-plugin.part":          "etc/cri/conf.d/00-base.part",
		"hack/nfsmount.conf":            "etc/nfsmount.conf",
		"hack/lvm.conf":                 "etc/lvm/lvm.conf",
		"hack/udevd/99-default.link":    "usr/lib/systemd/network/99-default.link",
		"hack/udevd/40-vm-hotadd.rules": "usr/lib/udev/rules.d/40-vm-hotadd.rules",
	}

	// debianPackages replace programs that Talos builds: device management, module loading, file systems.
	debianPackages = []string{"udev", "kmod", "xfsprogs", "lvm2", "dmsetup", "dosfstools", "e2fsprogs"}

	// debianPrograms by their names in the root file system.
	debianPrograms = map[string]string{
		"udevadm": "udevadm", "systemd-udevd": "udevadm", "modprobe": "kmod", "mkfs.xfs": "mkfs.xfs",
		"xfs_growfs": "xfs_growfs", "xfs_repair": "xfs_repair", "xfs_io": "xfs_io", "lvm": "lvm", "dmsetup": "dmsetup",
		"mkfs.vfat": "mkfs.vfat", "mkfs.ext4": "mkfs.ext4", "e2fsck": "e2fsck",
	}

	// openedLibraries are loaded with dlopen, so no dynamic section names them.
	openedLibraries = []string{"libkmod.so.2"}

	udevRules = []string{
		"50-udev-default.rules", "60-block.rules", "60-persistent-storage.rules", "75-net-description.rules", "80-drivers.rules",
		"80-net-setup-link.rules",
	}
)
