// SPDX-License-Identifier: MPL-2.0

package discover

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/spegel-guard/spegel-guard/internal/talos"

	"github.com/spegel-guard/spegel-guard/internal/machined"
)

// Pod is a pod whose sandbox is ready.
type Pod struct {
	Namespace, Name, UID string
}

// Labels lists pods by their labels.
type Labels interface {
	// Pods returns the ready pods that have all of the labels.
	Pods(ctx context.Context, labels map[string]string) ([]Pod, error)
}

// Machined finds Kubernetes' containers over the API of Talos' machined (MachineService.Containers). Its answers have no
// labels, which come from a Labels. While that does not answer, containers are selected by name and executable.
type Machined struct {
	socket, proc string
	labels       Labels

	mu   sync.Mutex
	conn *grpc.ClientConn
}

// NewMachined returns a source for the machined at a unix socket. It connects at the first call and again after a loss. It
// reads executables from the procfs mounted at proc.
func NewMachined(socket, proc string, labels Labels) *Machined {
	return &Machined{socket: socket, proc: proc, labels: labels}
}

// Name implements Source.
func (m *Machined) Name() string { return "machined" }

// Close closes the connection.
func (m *Machined) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.conn == nil {
		return nil
	}

	return m.conn.Close()
}

func (m *Machined) connect() (machineapi.MachineServiceClient, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.conn == nil {
		conn, err := machined.Dial(m.socket, reconnect)
		if err != nil {
			return nil, err
		}

		m.conn = conn
	}

	return machineapi.NewMachineServiceClient(m.conn), nil
}

// Find implements Source. It returns ErrUnreachable when machined does not answer.
func (m *Machined) Find(ctx context.Context, selector Selector) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	infos, err := m.containers(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("machined's socket %s: %w: %w", m.socket, ErrUnreachable, err)
	}

	var candidates []Container

	for _, info := range infos {
		if container, ok := containerOf(info, selector); ok {
			container.Source = m.Name()
			candidates = append(candidates, container)
		}
	}

	pods, err := m.labels.Pods(ctx, selector.PodLabels)
	if err != nil {
		return Answer{Containers: m.byExecutable(candidates, selector.Process), Unlabelled: err}, nil
	}

	return Answer{Containers: inPods(candidates, pods)}, nil
}

func (m *Machined) containers(ctx context.Context) ([]*machineapi.ContainerInfo, error) {
	c, err := m.connect()
	if err != nil {
		return nil, err
	}

	// The least role that may call it. A client on the socket chooses its role.
	ctx = metadata.AppendToOutgoingContext(ctx, talos.RoleMetadataKey, string(role.Reader))

	response, err := c.Containers(ctx, &machineapi.ContainersRequest{Namespace: talos.ContainerdNamespace, Driver: common.ContainerDriver_CRI})
	if err != nil {
		return nil, err
	}

	var infos []*machineapi.ContainerInfo

	for _, message := range response.GetMessages() {
		infos = append(infos, message.GetContainers()...)
	}

	return infos, nil
}

// containerID is the form of containerd's container ids.
var containerID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// containerOf returns the container of an info; false when it does not run or is not selected. machined lists a sandbox with
// the name of its pod.
func containerOf(info *machineapi.ContainerInfo, selector Selector) (Container, bool) {
	namespace, pod, ok := strings.Cut(info.GetPodId(), "/")

	switch {
	case !ok || info.GetName() != selector.Container || info.GetPid() == 0 || info.GetStatus() != "CONTAINER_RUNNING":
		return Container{}, false
	case selector.Namespace != "" && selector.Namespace != namespace:
		return Container{}, false
	}

	// InternalId is newer than Uid, which had the runtime's id before.
	id := info.GetInternalId()
	if !containerID.MatchString(id) {
		id = info.GetUid()
	}

	return Container{
		Namespace: namespace, Pod: pod, Name: info.GetName(), ID: id, PID: int(info.GetPid()), Image: info.GetImage(),
	}, containerID.MatchString(id)
}

// inPods keeps the containers of the pods and adds the pods' UIDs.
func inPods(containers []Container, pods []Pod) []Container {
	var found []Container

	for _, container := range containers {
		for _, pod := range pods {
			if pod.Namespace == container.Namespace && pod.Name == container.Pod {
				container.PodUID = pod.UID
				found = append(found, container)

				break
			}
		}
	}

	return found
}

// byExecutable keeps the containers whose first process runs an executable of that base name.
func (m *Machined) byExecutable(containers []Container, process string) []Container {
	var found []Container

	for _, container := range containers {
		if runs(filepath.Join(m.proc, strconv.Itoa(container.PID)), process) {
			found = append(found, container)
		}
	}

	return found
}

// runs reports whether the process of a directory in procfs runs an executable of that base name.
func runs(dir, process string) bool {
	exe, err := os.Readlink(filepath.Join(dir, "exe"))

	return err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == process
}
