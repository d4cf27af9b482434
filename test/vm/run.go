// SPDX-License-Identifier: MPL-2.0

// Package vm boots a temporary Linux machine in QEMU and runs programs of this project in it.
//
// It uses Debian's cloud kernel, an initramfs as the root file system, and an emulated processor (TCG), so it needs neither KVM
// nor cgroup v2.
package vm

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"time"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
	"github.com/spegel-guard/spegel-guard/test/vm/plan"
)

// GuestEnv is set in the environment of every program in the guest. A test that needs a unified cgroup hierarchy may be skipped
// without it and must run with it.
const GuestEnv = "SPEGEL_GUARD_VM"

// Options describe a boot.
type Options struct {
	// Init is the guest's first process, built from test/vm/guest.
	Init string
	// Files are copied to the guest: path in the guest to path on this machine. They keep the executable bit.
	Files map[string]string
	// Programs run in the guest, in order.
	Programs []plan.Program
	// MemoryMiB of the guest, including its root file system; default 2048.
	MemoryMiB int
	// Timeout of the boot and the programs; default 10 minutes.
	Timeout time.Duration
	// Out receives the output of the programs.
	Out io.Writer
}

// Run boots a guest and returns the first non-zero exit code of its programs.
func Run(ctx context.Context, opts Options) (int, error) {
	if opts.MemoryMiB == 0 {
		opts.MemoryMiB = 2048
	}

	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Minute
	}

	cache, err := artifacts.CacheDir()
	if err != nil {
		return 0, err
	}

	kernel, err := FetchKernel(ctx, cache)
	if err != nil {
		return 0, err
	}

	qemu, err := FetchQEMU(ctx, cache)
	if err != nil {
		return 0, err
	}

	base, modules, err := baseArchive(ctx, cache, kernel)
	if err != nil {
		return 0, err
	}

	work, err := os.MkdirTemp("", "spegel-guard-vm-")
	if err != nil {
		return 0, err
	}

	defer os.RemoveAll(work) //nolint:errcheck

	marker, err := newMarker()
	if err != nil {
		return 0, err
	}

	initrd := filepath.Join(work, "initrd")

	if err := writeInitrd(initrd, base, opts, plan.Plan{Marker: marker, Modules: modules, Programs: opts.Programs}); err != nil {
		return 0, err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, opts.Timeout, fmt.Errorf("timeout of %s", opts.Timeout))
	defer cancel()

	m := machine{
		qemu:       qemu,
		kernel:     kernel.Image,
		initrd:     initrd,
		memoryMiB:  opts.MemoryMiB,
		consoleLog: filepath.Join(work, "console.log"),
		marker:     marker,
		out:        opts.Out,
	}

	for attempt := 1; ; attempt++ {
		code, err := m.run(ctx)
		if err == nil {
			return code, nil
		}

		console, _ := os.ReadFile(m.consoleLog) // best effort: it explains err

		stalled := errors.Is(err, ErrStalled)

		if !stalled && !EmulatorFault(console) || attempt == maxAttempts {
			return 0, fmt.Errorf("%w\n--- guest console ---\n%s", err, tail(console, 8192))
		}

		if stalled {
			fmt.Fprintf(os.Stderr, "vm: %v (attempt %d of %d); booting again\n%s\n", err, attempt, maxAttempts, tail(console, 512))

			continue
		}

		fmt.Fprintf(os.Stderr, "vm: the emulator ran a breakpoint of the kernel's code patching (attempt %d of %d, %s); booting again\n",
			attempt, maxAttempts, faultSite.Find(console))
	}
}

// maxAttempts is the number of boots of a machine if the emulator crashes or stalls it. The timeout bounds them, too.
const maxAttempts = 20

// faultSite matches the place of a crash in the kernel.
var faultSite = regexp.MustCompile(`RIP: \S+`)

// EmulatorFault reports a crash that is caused by QEMU: its multi-threaded TCG may execute the breakpoint of the kernel's code
// patching (text_poke_bp) after the kernel has removed it. The boot is repeated, because no processor does that and no code of
// this project can cause it. Every other crash of the guest is a failure.
func EmulatorFault(console []byte) bool {
	return bytes.Contains(console, []byte("Oops: int3:"))
}

// baseArchive returns the cached part of the root file system, which is large and rarely changes. Each run appends the rest as
// a second archive, because the kernel unpacks consecutive archives.
func baseArchive(ctx context.Context, cache string, kernel Kernel) (string, []string, error) {
	modules, err := LoadModules(ctx, kernel, guestModules)
	if err != nil {
		return "", nil, err
	}

	binaries, err := BuildTools(ctx, cache)
	if err != nil {
		return "", nil, err
	}

	archive := NewInitramfs()
	loadOrder := make([]string, 0, len(modules))
	key := sha256.New()

	for _, m := range modules {
		name := path.Join("/lib/modules", m.Name+".ko")
		archive.AddData(name, m.Data)
		loadOrder = append(loadOrder, name)
		key.Write(m.Data)
	}

	names := make([]string, 0, len(binaries))

	for name := range binaries {
		names = append(names, name)
	}

	sort.Strings(names)

	for _, name := range names {
		archive.AddFile(GuestBinary(name), binaries[name], 0o755)
		key.Write([]byte(binaries[name]))
	}

	dir := filepath.Join(cache, "base", hex.EncodeToString(key.Sum(nil))[:16])

	err = artifacts.BuildOnce(dir, func(tmp string) error {
		file, err := os.Create(filepath.Join(tmp, "base.cpio"))
		if err != nil {
			return err
		}

		if err := archive.Write(file); err != nil {
			return err
		}

		return file.Close()
	})

	return filepath.Join(dir, "base.cpio"), loadOrder, err
}

// GuestBinary returns the path of a program of BuildTools in the guest.
func GuestBinary(name string) string {
	switch name {
	case "bridge", "loopback", "host-local":
		return path.Join("/opt/cni/bin", name)
	default:
		return path.Join("/usr/bin", name)
	}
}

func writeInitrd(name, base string, opts Options, p plan.Plan) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}

	defer file.Close() //nolint:errcheck

	in, err := os.Open(base)
	if err != nil {
		return err
	}

	defer in.Close() //nolint:errcheck

	if _, err := io.Copy(file, in); err != nil {
		return err
	}

	encoded, err := json.Marshal(p)
	if err != nil {
		return err
	}

	archive := NewInitramfs()
	archive.AddFile("/init", opts.Init, 0o755)
	archive.AddData(plan.Path, encoded)
	archive.AddData("/etc/passwd", []byte("root:x:0:0:root:/root:/bin/false\n"))
	archive.AddData("/etc/group", []byte("root:x:0:\n"))
	archive.AddData("/etc/hosts", []byte("127.0.0.1 localhost\n::1 localhost\n"))
	archive.AddData("/etc/resolv.conf", nil)

	for _, dir := range []string{"/dev", "/proc", "/sys", "/run", "/tmp", "/var/lib", "/root", "/usr/local/etc"} {
		archive.AddDir(dir)
	}

	for target, source := range opts.Files {
		archive.AddFile(target, source, 0o755)
	}

	if err := archive.Write(file); err != nil {
		return err
	}

	return file.Close()
}

func newMarker() (string, error) {
	var nonce [8]byte

	if _, err := rand.Read(nonce[:]); err != nil {
		return "", err
	}

	return "guest-" + hex.EncodeToString(nonce[:]), nil
}

func tail(data []byte, n int) []byte {
	if len(data) > n {
		return data[len(data)-n:]
	}

	return data
}
