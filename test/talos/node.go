// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
	"github.com/spegel-guard/spegel-guard/test/vm"
)

// Ports of the node that are forwarded to the loopback of this machine.
const (
	apidPort  = 50000
	guardPort = 50321
	agentPort = 50400
)

// kernelArgs are the arguments of Talos' metal images that Debian's kernel supports, and a console.
const kernelArgs = "talos.platform=metal init_on_alloc=1 slab_nomerge pti=on consoleblank=0 nvme_core.io_timeout=4294967295 " +
	"printk.devkmsg=on selinux=0 talos.dashboard.disabled=1 net.ifnames=0 console=ttyS0"

// Options of a node.
type Options struct {
	// Tree is the source tree that the guard is built from.
	Tree string
	// Layouts are OCI layouts of more extensions.
	Layouts []string
	// Documents are appended to the machine configuration.
	Documents string
	// WithoutGuard leaves the guard's extension out.
	WithoutGuard bool
}

// Node is a running machine.
type Node struct {
	// Talosconfig is the file of the cluster's administrator, whose endpoint is the node's apid.
	Talosconfig string
	// Apid, Guard and Agent are addresses on this machine's loopback that lead to the node.
	Apid, Guard, Agent string
	// Programs of Talos.
	Programs Programs
	// Started is when the machine was switched on.
	Started time.Time

	dir     string
	cluster cluster
	made    base
	qemu    vm.QEMU
	args    []string
	cmd     *exec.Cmd
	done    chan struct{}
	stop    *sync.Once
}

// Start makes an image with the extension, starts a machine and waits until Talos' init runs.
func Start(ctx context.Context, options Options) (*Node, error) {
	programs, err := FindPrograms()
	if err != nil {
		return nil, err
	}

	cache, err := artifacts.CacheDir()
	if err != nil {
		return nil, err
	}

	made, err := makeBase(ctx, cache, programs)
	if err != nil {
		return nil, err
	}

	qemu, err := vm.FetchQEMU(ctx, cache)
	if err != nil {
		return nil, err
	}

	dir, err := os.MkdirTemp("", "spegel-guard-talos-")
	if err != nil {
		return nil, err
	}

	n := &Node{dir: dir, Programs: programs, made: made, qemu: qemu, stop: &sync.Once{}}

	if err := n.start(ctx, options); err != nil {
		os.RemoveAll(dir) //nolint:errcheck // a temporary folder

		return nil, err
	}

	return n, nil
}

func (n *Node) start(ctx context.Context, options Options) error {
	var err error

	if n.cluster, err = newCluster(); err != nil {
		return err
	}

	if err := makeDisk(ctx, n.made.tools, n.disk()); err != nil {
		return err
	}

	ports, err := freePorts(3)
	if err != nil {
		return err
	}

	loopback := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	n.Apid, n.Guard, n.Agent = loopback(ports[0]), loopback(ports[1]), loopback(ports[2])

	if err := n.saveTalosconfig(); err != nil {
		return err
	}

	return n.boot(ctx, options)
}

// Upgrade shuts the node down and boots it with another image and the same disk, as "talosctl upgrade" does with the image of an
// installer. It waits until Talos' init runs.
func (n *Node) Upgrade(ctx context.Context, options Options) error {
	if _, err := n.Talosctl(ctx, "shutdown", "--force", "--wait=false"); err != nil {
		return err
	}

	select {
	case <-n.done:
		return n.boot(ctx, options)
	case <-ctx.Done():
		return fmt.Errorf("failed to wait for the shutdown of the node: %w", ctx.Err())
	}
}

// boot makes an image and starts the machine with it.
func (n *Node) boot(ctx context.Context, options Options) error {
	initramfs, err := n.image(ctx, options)
	if err != nil {
		return err
	}

	forward := fmt.Sprintf("user,id=net,restrict=on,hostfwd=tcp:%s-:%d,hostfwd=tcp:%s-:%d,hostfwd=tcp:%s-:%d",
		n.Apid, apidPort, n.Guard, guardPort, n.Agent, agentPort)

	// Without the HPET the tests took 650 s instead of 527 s.
	args := append(n.qemu.Command(),
		"-M", "q35", "-nodefaults", "-no-user-config", "-display", "none",
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "3072M",
		"-kernel", n.made.kernel.Image, "-initrd", initramfs, "-append", kernelArgs,
		"-drive", "file="+n.disk()+",if=virtio,format=raw,cache=unsafe",
		"-netdev", forward, "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci",
		"-chardev", "file,id=console,path="+n.consolePath()+",append=on", "-device", "isa-serial,chardev=console",
	)

	n.args, n.Started = args, time.Now()

	from := len(n.Console())

	if err := n.switchOn(); err != nil {
		return err
	}

	if err := n.AwaitBoot(ctx, from); err != nil {
		n.switchOff()

		return err
	}

	return nil
}

// image makes the initramfs of this node.
func (n *Node) image(ctx context.Context, options Options) (string, error) {
	var layouts []string

	if !options.WithoutGuard {
		layout := filepath.Join(n.dir, "guard")
		if err := GuardLayout(ctx, options.Tree, layout); err != nil {
			return "", err
		}

		layouts = append(layouts, layout)
	}

	agent := filepath.Join(n.dir, "agent")
	if err := agentLayout(ctx, n.Programs, agent); err != nil {
		return "", err
	}

	document := n.cluster.document
	if options.Documents != "" {
		document = append(document, "---\n"+options.Documents...)
	}

	return runImager(ctx, n.made, n.Programs, n.dir, imagerInput{
		kind: "initramfs", layouts: append(append(layouts, agent), options.Layouts...), document: document,
	})
}

// diskSize leaves room for STATE and EPHEMERAL; the file is sparse.
const diskSize = 8 << 30

// makeDisk creates a disk with the partition META. Talos regards such a disk as installed and creates the other partitions.
func makeDisk(ctx context.Context, tools, disk string) error {
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return err
	}

	if err := os.Truncate(disk, diskSize); err != nil {
		return err
	}

	_, err := artifacts.Output(exec.CommandContext(ctx, filepath.Join(tools, "sgdisk"), "-n", "1:2048:+1M", "-c", "1:META", disk))

	return err
}

// takenPorts are those of all nodes. QEMU listens later, so that the kernel may give a port again.
var takenPorts sync.Map

// freePorts finds unused ports of the loopback, which no other node of this process gets.
func freePorts(count int) ([]int, error) {
	var ports []int

	for len(ports) < count {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}

		defer listener.Close() //nolint:errcheck // all at the end, so that no port is found twice

		address, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			return nil, fmt.Errorf("failed to listen on the loopback: %v is no TCP address", listener.Addr())
		}

		if _, taken := takenPorts.LoadOrStore(address.Port, true); !taken {
			ports = append(ports, address.Port)
		}
	}

	return ports, nil
}

func (n *Node) disk() string { return filepath.Join(n.dir, "disk.raw") }

func (n *Node) consolePath() string { return filepath.Join(n.dir, "console.log") }

// Console returns the output of the kernel and machined so far.
func (n *Node) Console() string {
	data, err := os.ReadFile(n.consolePath())
	if err != nil {
		return err.Error()
	}

	return string(data)
}

// Dir is a folder that is removed with the node.
func (n *Node) Dir() string { return n.dir }

// ErrEnded is returned if the machine is off.
var ErrEnded = errors.New("the machine has ended")

// Stop ends the machine without a shutdown and removes its disk.
func (n *Node) Stop() error {
	n.stop.Do(n.switchOff)

	return os.RemoveAll(n.dir)
}
