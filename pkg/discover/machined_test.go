// SPDX-License-Identifier: MPL-2.0

//go:build linux

package discover_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	talosruntime "github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/test/machined"
)

var (
	idA = strings.Repeat("a", 64)
	idB = strings.Repeat("b", 64)
)

// labels knows some pods, or why it does not.
type labels struct {
	pods []discover.Pod
	err  error
}

func (l *labels) Pods(context.Context, map[string]string) ([]discover.Pod, error) {
	return l.pods, l.err
}

func startMachined(t *testing.T) *machined.Machined {
	t.Helper()

	m, err := machined.New(t.Context(), filepath.Join(t.TempDir(), "machine.sock"), &talosruntime.ExtensionServiceConfig{}, &secrets.API{})
	require.NoError(t, err)

	m.Services = machined.ThisProcess
	m.Set(
		&machineapi.ContainerInfo{Id: "spegel/spegel-a", InternalId: idA, Uid: "u1", PodId: "spegel/spegel-a", Name: "spegel/spegel-a", Pid: 10, Status: "SANDBOX_READY"},
		&machineapi.ContainerInfo{Id: "spegel/spegel-a:registry:aaaaaaaaaaaa", InternalId: idA, PodId: "spegel/spegel-a", Name: "registry", Pid: 11, Status: "CONTAINER_RUNNING", Image: "spegel:v1"},
		&machineapi.ContainerInfo{Id: "spegel/spegel-a:configuration:bbbbbbbbbbbb", InternalId: idB, PodId: "spegel/spegel-a", Name: "configuration", Pid: 12, Status: "CONTAINER_RUNNING"},
		&machineapi.ContainerInfo{Id: "spegel/spegel-old:registry:bbbbbbbbbbbb", InternalId: idB, PodId: "spegel/spegel-old", Name: "registry", Status: "CONTAINER_EXITED"},
		// An older machined has no field of its own for the container's id.
		&machineapi.ContainerInfo{Id: "spegel/spegel-b:registry:bbbbbbbbbbbb", Uid: idB, PodId: "spegel/spegel-b", Name: "registry", Pid: 13, Status: "CONTAINER_RUNNING"},
		&machineapi.ContainerInfo{Id: "harbor/harbor-0:registry:bbbbbbbbbbbb", InternalId: idB, PodId: "harbor/harbor-0", Name: "registry", Pid: 14, Status: "CONTAINER_RUNNING"},
		&machineapi.ContainerInfo{Id: "spegel/spegel-b:registry:short", InternalId: "short", PodId: "spegel/spegel-b", Name: "registry", Pid: 15, Status: "CONTAINER_RUNNING"},
	)
	require.NoError(t, m.Start())
	t.Cleanup(func() { m.Stop() })

	return m
}

func TestMachined_FindsMatchingContainers(t *testing.T) {
	m := startMachined(t)
	known := &labels{pods: []discover.Pod{{Namespace: "spegel", Name: "spegel-a", UID: "u1"}, {Namespace: "spegel", Name: "spegel-b", UID: "u2"}}}
	source := discover.NewMachined(m.Socket, t.TempDir(), known)

	defer source.Close()

	answer, err := source.Find(t.Context(), selector())
	require.NoError(t, err)
	assert.NoError(t, answer.Unlabelled)
	assert.Equal(t, []discover.Container{
		{Namespace: "spegel", Pod: "spegel-a", Name: "registry", PodUID: "u1", ID: idA, PID: 11, Image: "spegel:v1", Source: "machined"},
		{Namespace: "spegel", Pod: "spegel-b", Name: "registry", PodUID: "u2", ID: idB, PID: 13, Source: "machined"},
	}, answer.Containers, "a rollout's two are two targets; another's registry is none")

	elsewhere := selector()
	elsewhere.Namespace = "harbor"

	answer, err = source.Find(t.Context(), elsewhere)
	require.NoError(t, err)
	assert.Empty(t, answer.Containers, "its pod has not the labels")
}

// TestMachined_FindsByExecutableWithoutLabels: names alone are no proof, the executable must be right, too.
func TestMachined_FindsByExecutableWithoutLabels(t *testing.T) {
	m := startMachined(t)
	proc := t.TempDir()

	for pid, exe := range map[string]string{"11": "/app/spegel", "13": "/app/spegel (deleted)", "14": "/home/harbor/registry"} {
		require.NoError(t, os.Mkdir(filepath.Join(proc, pid), 0o755))
		require.NoError(t, os.Symlink(exe, filepath.Join(proc, pid, "exe")))
	}

	gone := errors.New("no CRI socket")
	source := discover.NewMachined(m.Socket, proc, &labels{err: gone})

	defer source.Close()

	answer, err := source.Find(t.Context(), selector())
	require.NoError(t, err)
	assert.ErrorIs(t, answer.Unlabelled, gone)
	require.Len(t, answer.Containers, 2)
	assert.Equal(t, 11, answer.Containers[0].PID)
	assert.Equal(t, 13, answer.Containers[1].PID)
}

// TestMachined_AcceptsRolesAsTalos holds the stand-in to what the source relies on.
func TestMachined_AcceptsRolesAsTalos(t *testing.T) {
	m := startMachined(t)
	require.NoError(t, m.State.Create(t.Context(), talosruntime.NewExtensionServiceConfigSpec(talosruntime.NamespaceName, "spegel-guard")))

	c, err := client.New(t.Context(), client.WithUnixSocket(m.Socket),
		client.WithGRPCDialOptions(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)

	defer c.Close()

	as := func(roles ...string) context.Context {
		md := metadata.MD{}
		md.Append(constants.APIAuthzRoleMetadataKey, roles...)

		return metadata.NewOutgoingContext(t.Context(), md)
	}

	containers := func(ctx context.Context) codes.Code {
		_, err := c.Containers(ctx, constants.K8sContainerdNamespace, common.ContainerDriver_CRI)

		return status.Code(err)
	}

	get := func(ctx context.Context, md resource.Metadata) codes.Code {
		_, err := c.COSI.Get(ctx, md)
		if state.IsNotFoundError(err) {
			return codes.NotFound
		}

		return status.Code(err)
	}

	config := resource.NewMetadata(talosruntime.NamespaceName, talosruntime.ExtensionServiceConfigType, "spegel-guard", resource.VersionUndefined)
	certificates := resource.NewMetadata(secrets.NamespaceName, secrets.APIType, secrets.APIID, resource.VersionUndefined)

	assert.Equal(t, codes.PermissionDenied, containers(t.Context()), "no role")
	assert.Equal(t, codes.PermissionDenied, containers(as(string(role.EtcdBackup))))
	assert.Equal(t, codes.OK, containers(as(string(role.Reader))))

	assert.Equal(t, codes.PermissionDenied, get(as(string(role.Reader)), config), "sensitive")
	assert.Equal(t, codes.OK, get(as(string(role.Admin)), config))
	assert.Equal(t, codes.PermissionDenied, get(as(string(role.Reader)), certificates), "sensitive")
	assert.Equal(t, codes.NotFound, get(as(string(role.Admin)), certificates), "allowed, and there is none")

	m.Stop()

	m.Services, m.PIDTimeout = noServices, time.Millisecond
	require.NoError(t, m.Start())

	assert.Eventually(t, func() bool { return containers(as(string(role.Admin))) == codes.PermissionDenied },
		time.Minute, 100*time.Millisecond, "a process of no extension service")
}

// noServices is a node on which no extension service runs.
func noServices() (map[string]int, error) { return nil, nil }

// TestMachined_WaitsForTheService: a service may ask before machined has written down its process.
func TestMachined_WaitsForTheService(t *testing.T) {
	m := startMachined(t)
	m.Stop()

	var asked atomic.Int64

	m.Services = func() (map[string]int, error) {
		if asked.Add(1) < 3 {
			return map[string]int{"kubelet": os.Getpid(), "ext-other": 1}, nil
		}

		return machined.ThisProcess()
	}

	require.NoError(t, m.Start())

	source := discover.NewMachined(m.Socket, t.TempDir(), &labels{})
	defer source.Close()

	_, err := source.Find(t.Context(), selector())
	require.NoError(t, err)
	assert.EqualValues(t, 3, asked.Load())
}

func TestMachined_ConnectsAgainAfterLoss(t *testing.T) {
	m := startMachined(t)
	source := discover.NewMachined(m.Socket, t.TempDir(), &labels{pods: []discover.Pod{{Namespace: "spegel", Name: "spegel-a"}}})

	defer source.Close()

	for range 3 {
		assert.EventuallyWithT(t, func(t *assert.CollectT) {
			answer, err := source.Find(context.Background(), selector())
			assert.NoError(t, err)
			assert.Len(t, answer.Containers, 1)
		}, time.Minute, 100*time.Millisecond)

		m.Stop()

		_, err := source.Find(t.Context(), selector())
		assert.ErrorIs(t, err, discover.ErrUnreachable)

		require.NoError(t, m.Start())
	}
}

// TestFind_NextSourceWhileMachinedIsAway, and machined again when it is back.
func TestFind_NextSourceWhileMachinedIsAway(t *testing.T) {
	m := startMachined(t)
	cri := discover.NewCRI(serve(t, &runtime{info: `{"pid": 42}`}))
	source := discover.NewMachined(m.Socket, t.TempDir(), cri)

	defer cri.Close()
	defer source.Close()

	found := func() (string, error) {
		answer, err := discover.Find(t.Context(), selector(), source, cri)
		require.NoError(t, answer.Unlabelled)
		require.NotEmpty(t, answer.Containers)

		return answer.Containers[0].Source, err
	}

	name, err := found()
	require.NoError(t, err)
	assert.Equal(t, "machined", name)

	m.Stop()

	name, err = found()
	assert.ErrorContains(t, err, "machined", "why it was passed over")
	assert.Equal(t, "cri", name)

	require.NoError(t, m.Start())
	assert.Eventually(t, func() bool { name, _ := found(); return name == "machined" }, time.Minute, 100*time.Millisecond)
}
