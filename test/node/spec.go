// SPDX-License-Identifier: MPL-2.0

//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
)

// ConfigFilePath returns the path to which Talos writes a file of an ExtensionServiceConfig document
// (runtime.ExtensionServiceConfigFilesController). This file is mounted into the service.
func ConfigFilePath(service, mountPath string) string {
	name := strings.ReplaceAll(strings.TrimPrefix(mountPath, "/"), "/", "-")

	return filepath.Join(constants.ExtensionServiceUserConfigPath, service, name)
}

// WriteConfigFile writes a file of an ExtensionServiceConfig document, as Talos does.
func WriteConfigFile(service string, file ConfigFile) error {
	path := ConfigFilePath(service, file.MountPath)

	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}

	return os.WriteFile(path, []byte(file.Content), 0o644)
}

// serviceMounts returns the mounts of the service file and of the configuration files. It creates missing sources.
func serviceMounts(spec *services.Spec, configFiles []ConfigFile) ([]specs.Mount, error) {
	for _, mount := range spec.Container.Mounts {
		_, err := os.Stat(mount.Source)

		if errors.Is(err, os.ErrNotExist) {
			err = os.MkdirAll(mount.Source, 0o700)
		}

		if err != nil {
			return nil, err
		}
	}

	mounts := slices.Clone(spec.Container.Mounts)

	for _, file := range configFiles {
		if err := WriteConfigFile(spec.Name, file); err != nil {
			return nil, fmt.Errorf("failed to write the configuration file %s: %w", file.MountPath, err)
		}

		mounts = append(mounts, specs.Mount{
			Source: ConfigFilePath(spec.Name, file.MountPath), Destination: file.MountPath, Type: "bind", Options: []string{"ro", "bind"},
		})
	}

	return mounts, nil
}

// specOptions returns the options of machined. The default spec of containerd adds PID, IPC, UTS and mount namespaces, but no
// cgroup namespace. The environment is empty, and runc adds HOME.
func specOptions(spec *services.Spec, ext *Extension, mounts []specs.Mount) []oci.SpecOpts {
	opts := []oci.SpecOpts{
		oci.WithProcessArgs(append([]string{spec.Container.Entrypoint}, spec.Container.Args...)...),
		oci.WithHostHostsFile,
		oci.WithHostResolvconf,
		oci.WithNoNewPrivileges,
		withSpec(func(s *oci.Spec) { s.Process.OOMScoreAdj = new(extensionOOMScoreAdj) }),
		oci.WithCgroup(ext.CgroupPath),
		oci.WithRootFSPath(ext.rootfs),
		withSpec(func(s *oci.Spec) { s.Linux.RootfsPropagation = spec.Container.Security.RootfsPropagation }),
		oci.WithMounts(mounts),
		oci.WithHostNamespace(specs.NetworkNamespace),
		oci.WithSelinuxLabel(""),
		oci.WithApparmorProfile(""),
		oci.WithCapabilities(grantableCapabilities()),
		oci.WithAllDevicesAllowed,
		oci.WithEnv(spec.Container.Environment),
		// containerd inherits them from machined, and the service from containerd.
		withSpec(func(s *oci.Spec) { s.Process.Rlimits = nil }),
	}

	if !spec.Container.Security.WriteableRootfs {
		opts = append(opts, oci.WithRootFSReadonly())
	}

	if spec.Container.Security.WriteableSysfs {
		opts = append(opts, oci.WithWriteableSysfs)
	}

	if paths := spec.Container.Security.MaskedPaths; paths != nil {
		opts = append(opts, oci.WithMaskedPaths(paths))
	}

	if paths := spec.Container.Security.ReadonlyPaths; paths != nil {
		opts = append(opts, oci.WithReadonlyPaths(paths))
	}

	// Last, because the profile depends on the capabilities.
	return append(opts, seccomp.WithDefaultProfile())
}

const extensionOOMScoreAdj = -600

// WithCgroupNamespace runs a service in its own cgroup namespace, which Talos v1.13.0 does not do.
func WithCgroupNamespace() oci.SpecOpts {
	return oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.CgroupNamespace})
}

// grantableCapabilities returns all capabilities of the kernel except those that machined drops for every service.
func grantableCapabilities() []string {
	return slices.DeleteFunc(cap.Known(), func(name string) bool {
		_, dropped := constants.DefaultDroppedCapabilities[strings.ToLower(name)]

		return dropped
	})
}

func withSpec(change func(*oci.Spec)) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, spec *oci.Spec) error {
		change(spec)

		return nil
	}
}
