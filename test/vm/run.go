// SPDX-License-Identifier: MPL-2.0

// Package vm boots a throw-away Linux machine under QEMU and runs programs of this project in it.
//
// The kernel is Debian's cloud kernel, the root file system an initramfs made here, and the
// processor emulated (TCG), so it works on any machine, with or without KVM or cgroup v2.
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

// GuestEnv is set in the environment of every program that runs in the guest.
//
// A test that needs a real unified cgroup hierarchy may skip without it and must run with it.
const GuestEnv = "SPEGEL_GUARD_VM"

// Options describe one boot.
type Options struct {
	// Init is the guest's first process, built from test/vm/guest.
	Init string
	// Files are copied into the guest: path in the guest to path here. They keep the executable bit.
	Files map[string]string
	// Programs run in the guest, in order.
	Programs []plan.Program
	// MemoryMiB of the guest; 2048 unless set. The root file system lives in it.
	MemoryMiB int
	// Timeout of the whole boot; 10 minutes unless set.
	Timeout time.Duration
	// Out receives the programs' output as it comes.
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

	ctx, cancel := context.WithTimeoutCause(ctx, opts.Timeout, fmt.Errorf("time-out of %s", opts.Timeout))
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

		console, _ := os.ReadFile(m.consoleLog) // best effort: it is there to explain err

		stalled := errors.Is(err, errStalled)

		if !stalled && !emulatorFault(console) || attempt == maxAttempts {
			return 0, fmt.Errorf("%w\n--- guest console ---\n%s", err, tail(console, 8192))
		}

		if stalled {
			fmt.Fprintf(os.Stderr, "vm: %v (attempt %d of %d); booting again\n", err, attempt, maxAttempts)

			continue
		}

		fmt.Fprintf(os.Stderr, "vm: the emulator ran a breakpoint of the kernel's own code patching (attempt %d of %d, %s); booting again\n",
			attempt, maxAttempts, faultSite.Find(console))
	}
}

const maxAttempts = 3

// faultSite is where in the kernel a crash was.
var faultSite = regexp.MustCompile(`RIP: \S+`)

// emulatorFault recognises a crash that is QEMU's alone: its multi-threaded TCG may execute the
// breakpoint by which the kernel patches its own code (text_poke_bp) after the kernel has taken it
// away again. No processor does that and nothing of this project can cause it, so the boot is
// repeated. Every other crash of the guest is a failure.
func emulatorFault(console []byte) bool {
	return bytes.Contains(console, []byte("Oops: int3:"))
}

// baseArchive caches the large, rarely changing part of the root file system.
//
// The kernel unpacks archives that follow one another, so the small part is appended at each run.
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

// GuestBinary is where a program of BuildTools stands in a guest.
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
