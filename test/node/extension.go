// SPDX-License-Identifier: MPL-2.0

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
	"sync"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions/services"
	"go.yaml.in/yaml/v4"
)

// ConfigFile is one entry of an ExtensionServiceConfig document.
type ConfigFile struct {
	Content   string
	MountPath string
}

// Extension is a running extension service.
type Extension struct {
	// Log is the output of the service.
	Log *LogBuffer
	// CgroupPath of the service.
	CgroupPath string

	rootfs  string
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

// RunExtension runs an extension service from its installed files, as machined does. The options are applied to the spec of
// the container after those of machined.
//
// Sources: internal/app/machined/pkg/system/services/extension.go and .../system/runner/containerd/containerd.go of
// Talos v1.13.0, and a real node of that version.
func (n *Node) RunExtension(ctx context.Context, serviceFile string, configFiles []ConfigFile, options ...oci.SpecOpts) (*Extension, error) {
	spec, err := LoadServiceSpec(serviceFile)
	if err != nil {
		return nil, err
	}

	mounts, err := serviceMounts(spec, configFiles)
	if err != nil {
		return nil, err
	}

	// The service outlives the context of the caller, which ends before the clean-up of a test.
	ctx = namespaces.WithNamespace(context.WithoutCancel(ctx), constants.SystemContainerdNamespace)
	id := "ext-" + spec.Name
	ext := &Extension{
		Log: &LogBuffer{}, CgroupPath: filepath.Join(constants.CgroupExtensions, spec.Name),
		rootfs: filepath.Join(constants.ExtensionServiceRootfsPath, spec.Name),
	}

	if old, err := n.Client.LoadContainer(ctx, id); err == nil {
		if err := old.Delete(ctx); err != nil {
			return nil, err
		}
	}

	if err := mountRootfs(ext.rootfs); err != nil {
		return nil, err
	}

	if err := n.start(ctx, ext, id, append(specOptions(spec, ext, mounts), options...)); err != nil {
		return nil, errors.Join(err, unmountRootfs(ext.rootfs))
	}

	return ext, nil
}

func (n *Node) start(ctx context.Context, ext *Extension, id string, options []oci.SpecOpts) error {
	var err error

	if ext.ctr, err = n.Client.NewContainer(ctx, id, containerd.WithNewSpec(options...)); err != nil {
		return fmt.Errorf("failed to create the extension's container: %w", err)
	}

	if ext.task, err = ext.ctr.NewTask(ctx, cio.NewCreator(cio.WithStreams(nil, ext.Log, ext.Log))); err != nil {
		return fmt.Errorf("failed to create the extension's task: %w", err)
	}

	if ext.exit, err = ext.task.Wait(ctx); err != nil {
		return err
	}

	return ext.task.Start(ctx)
}

// LoadServiceSpec reads a service file as Talos does.
func LoadServiceSpec(path string) (*services.Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}

	var spec services.Spec

	if err := yaml.Load(data, &spec, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("failed to parse %s: %w", path, err)
	}

	return &spec, spec.Validate()
}

// PID returns the first process of the service in the node's PID namespace.
func (e *Extension) PID() int { return int(e.task.Pid()) }

// Stop waits about ten seconds before SIGKILL, in parts.
const (
	stopWait  = 100 * time.Millisecond
	stopWaits = int(10 * time.Second / stopWait)
)

// Stop ends the service as machined does: SIGTERM to all its processes, and SIGKILL after ten seconds. It returns the exit
// code and the time that the service took. Stopping a service that has ended does nothing.
func (e *Extension) Stop(ctx context.Context) (uint32, time.Duration, error) {
	if e.removed {
		return 0, 0, nil
	}

	start := time.Now()

	if err := e.signalAll(ctx, syscall.SIGTERM); err != nil {
		return 0, 0, err
	}

	// A pause of the machine uses up one wait. It would use up a single timer of ten seconds.
	for range stopWaits {
		select {
		case status := <-e.exit:
			return status.ExitCode(), time.Since(start), e.remove(ctx)
		case <-time.After(stopWait):
		}
	}

	if err := e.signalAll(ctx, syscall.SIGKILL); err != nil {
		return 0, 0, err
	}

	return (<-e.exit).ExitCode(), time.Since(start), e.remove(ctx)
}

// Wait waits until the service ends by itself and returns its exit code.
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
	return e.task.Kill(namespaces.WithNamespace(ctx, constants.SystemContainerdNamespace), sig)
}

func (e *Extension) signalAll(ctx context.Context, sig syscall.Signal) error {
	return e.task.Kill(namespaces.WithNamespace(ctx, constants.SystemContainerdNamespace), sig, containerd.WithKillAll)
}

func (e *Extension) remove(ctx context.Context) error {
	e.removed = true
	ctx = namespaces.WithNamespace(ctx, constants.SystemContainerdNamespace)

	if _, err := e.task.Delete(ctx); err != nil && !errdefs.IsNotFound(err) {
		return err
	}

	return errors.Join(e.ctr.Delete(ctx), unmountRootfs(e.rootfs))
}

var _ io.Writer = (*LogBuffer)(nil)
