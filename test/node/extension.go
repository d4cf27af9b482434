//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/extension"
)

// ConfigFile is one entry of an ExtensionServiceConfig document.
type ConfigFile struct {
	Content   string
	MountPath string
}

// Extension is a running extension service.
type Extension struct {
	// Log is everything the service printed.
	Log *LogBuffer
	// CgroupPath of the service.
	CgroupPath string

	task    containerd.Task
	exit    <-chan containerd.ExitStatus
	ctr     containerd.Container
	removed bool
}

// LogBuffer collects output and may be read while it grows.
type LogBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *LogBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.buf.Write(p)
}

func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.buf.String()
}

// RunExtension runs an extension service from its installed files, as machined does.
//
// Facts from Talos: internal/app/machined/pkg/system/services/extension.go and
// .../system/runner/containerd/containerd.go (host network and IPC, own PID, mount and cgroup
// namespaces, all grantable capabilities, default seccomp profile, no new privileges, read-only
// rootfs unless asked otherwise, cgroup system/extensions/<name>, oom_score_adj -600).
func (n *Node) RunExtension(ctx context.Context, serviceFile string, configFiles []ConfigFile) (*Extension, error) {
	spec, err := loadServiceSpec(serviceFile)
	if err != nil {
		return nil, err
	}

	mounts := slices.Clone(spec.Container.Mounts)

	for i, file := range configFiles {
		// Talos writes each file below /system/config and binds it read-only at its mount path.
		source := fmt.Sprintf("/system/config/extensions/%s/%d", spec.Name, i)

		if err := writeFile(source, file.Content); err != nil {
			return nil, err
		}

		mounts = append(mounts, specs.Mount{
			Source: source, Destination: file.MountPath, Type: "bind", Options: []string{"ro", "bind"},
		})
	}

	for _, mount := range mounts {
		if _, err := os.Stat(mount.Source); errors.Is(err, os.ErrNotExist) {
			if err := os.MkdirAll(mount.Source, 0o700); err != nil {
				return nil, err
			}
		}
	}

	// The service outlives the caller's context: a test's ends before its clean-up.
	ctx = namespaces.WithNamespace(context.WithoutCancel(ctx), "system")
	id := "ext-" + spec.Name
	ext := &Extension{Log: &LogBuffer{}, CgroupPath: "/system/extensions/" + spec.Name}

	if old, err := n.Client.LoadContainer(ctx, id); err == nil {
		if err := old.Delete(ctx); err != nil {
			return nil, err
		}
	}

	if err := asInstalled(extension.RootfsPath, extension.BinaryPath); err != nil {
		return nil, err
	}

	if ext.ctr, err = n.Client.NewContainer(ctx, id, containerd.WithNewSpec(specOptions(spec, ext.CgroupPath, mounts)...)); err != nil {
		return nil, fmt.Errorf("error creating the extension's container: %w", err)
	}

	if ext.task, err = ext.ctr.NewTask(ctx, cio.NewCreator(cio.WithStreams(nil, ext.Log, ext.Log))); err != nil {
		return nil, fmt.Errorf("error creating the extension's task: %w", err)
	}

	if ext.exit, err = ext.task.Wait(ctx); err != nil {
		return nil, err
	}

	return ext, ext.task.Start(ctx)
}

// asInstalled takes what earlier containers left in the service's root away: runc makes the places that it mounts
// files on, and an empty document is one, too. On Talos the root is the image's, and cannot be written to.
func asInstalled(rootfs, binary string) error {
	entries, err := os.ReadDir(rootfs)
	if err != nil {
		return err
	}

	for _, entry := range entries {
		if path := filepath.Join(rootfs, entry.Name()); path != binary {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}

	return nil
}

func loadServiceSpec(path string) (*services.Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}

	var spec services.Spec

	if err := yaml.Load(data, &spec, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("error parsing %s: %w", path, err)
	}

	return &spec, spec.Validate()
}

func specOptions(spec *services.Spec, cgroup string, mounts []specs.Mount) []oci.SpecOpts {
	opts := []oci.SpecOpts{
		oci.WithProcessArgs(append([]string{spec.Container.Entrypoint}, spec.Container.Args...)...),
		oci.WithHostHostsFile,
		oci.WithHostResolvconf,
		oci.WithNoNewPrivileges,
		withOOMScoreAdj(-600),
		oci.WithCgroup(cgroup),
		oci.WithRootFSPath(filepath.Join("/usr/local/lib/containers", spec.Name)),
		oci.WithMounts(mounts),
		oci.WithHostNamespace(specs.NetworkNamespace),
		oci.WithHostNamespace(specs.IPCNamespace),
		// containerd's own default has none, and machined asks for none in the sources read; the project's
		// field notes have one. It is the harder case: seen from inside, every other cgroup's path begins
		// with "/..", and nsdelegate applies. The tests that run the guard by hand have none.
		oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.CgroupNamespace}),
		oci.WithCapabilities(grantableCapabilities()),
		oci.WithAllDevicesAllowed,
		oci.WithEnv(spec.Container.Environment),
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

// grantableCapabilities are all the kernel knows but those machined drops for everyone.
func grantableCapabilities() []string {
	return slices.DeleteFunc(cap.Known(), func(name string) bool {
		_, dropped := constants.DefaultDroppedCapabilities[strings.ToLower(name)]

		return dropped
	})
}

func withOOMScoreAdj(score int) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, spec *oci.Spec) error {
		spec.Process.OOMScoreAdj = &score

		return nil
	}
}

// PID of the service's first process, in the node's PID namespace.
func (e *Extension) PID() int { return int(e.task.Pid()) }

// Stop ends the service as machined does: SIGTERM, ten seconds, SIGKILL. It returns the exit code
// and how long the service took. Stopping a service that has ended does nothing.
func (e *Extension) Stop(ctx context.Context) (uint32, time.Duration, error) {
	if e.removed {
		return 0, 0, nil
	}

	start := time.Now()

	if err := e.Signal(ctx, syscall.SIGTERM); err != nil {
		return 0, 0, err
	}

	select {
	case status := <-e.exit:
		return status.ExitCode(), time.Since(start), e.remove(ctx)
	case <-time.After(10 * time.Second):
	}

	if err := e.Signal(ctx, syscall.SIGKILL); err != nil {
		return 0, 0, err
	}

	return (<-e.exit).ExitCode(), time.Since(start), e.remove(ctx)
}

// Wait waits for the service to end by itself and returns its exit code.
func (e *Extension) Wait(ctx context.Context) (uint32, error) {
	select {
	case status := <-e.exit:
		return status.ExitCode(), e.remove(ctx)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Signal sends the service's first process a signal.
func (e *Extension) Signal(ctx context.Context, sig syscall.Signal) error {
	return e.task.Kill(namespaces.WithNamespace(ctx, "system"), sig)
}

func (e *Extension) remove(ctx context.Context) error {
	e.removed = true
	ctx = namespaces.WithNamespace(ctx, "system")

	if _, err := e.task.Delete(ctx); err != nil && !errdefs.IsNotFound(err) {
		return err
	}

	return e.ctr.Delete(ctx)
}

func writeFile(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}

	return os.WriteFile(name, []byte(content), 0o600)
}

var _ io.Writer = (*LogBuffer)(nil)
