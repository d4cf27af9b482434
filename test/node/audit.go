//go:build linux

package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Write is one write to the hierarchy: to a file, or of an extended attribute of a directory.
type Write struct {
	// PID of the writing process.
	PID int
	// Path of the file as the kernel knows it, below the mount it was written through; empty for an attribute.
	Path string
	// Inode of the cgroup's directory, for an attribute.
	Inode uint64
}

// Audit records every write to the unified hierarchy, whoever makes it, in whatever mount namespace
// (fanotify(7)): a comparison of before and after would miss what was put back in between.
type Audit struct {
	groups []*os.File
	done   sync.WaitGroup

	mu     sync.Mutex
	writes []Write
	err    error
}

// StartAudit begins to record.
func StartAudit() (*Audit, error) {
	audit := &Audit{}

	for _, group := range []struct {
		flags uint
		mask  uint64
		path  func(fd int32, info []byte) (Write, error)
	}{
		{unix.FAN_CLASS_NOTIF, unix.FAN_MODIFY, writtenFile},
		{unix.FAN_CLASS_NOTIF | unix.FAN_REPORT_FID, unix.FAN_ATTRIB | unix.FAN_ONDIR, writtenAttribute},
	} {
		fd, err := unix.FanotifyInit(group.flags|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE, unix.O_RDONLY|unix.O_CLOEXEC)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("error starting the audit: %w", err), audit.close())
		}

		file := os.NewFile(uintptr(fd), "fanotify")
		audit.groups = append(audit.groups, file)

		if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, group.mask, unix.AT_FDCWD, CgroupRoot); err != nil {
			return nil, errors.Join(fmt.Errorf("error watching %s: %w", CgroupRoot, err), audit.close())
		}

		audit.done.Go(func() { audit.record(file, group.path) })
	}

	return audit, nil
}

// record reads events until the group is closed.
func (a *Audit) record(group *os.File, decode func(int32, []byte) (Write, error)) {
	buf := make([]byte, 64<<10)

	for {
		n, err := group.Read(buf)
		if err != nil {
			return // closed
		}

		for data := buf[:n]; len(data) > 0; {
			var event unix.FanotifyEventMetadata

			if _, err := binary.Decode(data, binary.NativeEndian, &event); err != nil {
				a.fail(fmt.Errorf("audit: %w", err))

				return
			}

			write, err := decode(event.Fd, data[event.Metadata_len:event.Event_len])

			a.mu.Lock()

			switch {
			case event.Mask&unix.FAN_Q_OVERFLOW != 0:
				a.err = errors.Join(a.err, errors.New("the audit's queue overflowed"))
			case err != nil:
				a.err = errors.Join(a.err, err)
			default:
				write.PID = int(event.Pid)
				a.writes = append(a.writes, write)
			}

			a.mu.Unlock()

			data = data[event.Event_len:]
		}
	}
}

func (a *Audit) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()

	a.err = errors.Join(a.err, err)
}

func writtenFile(fd int32, _ []byte) (Write, error) {
	defer unix.Close(int(fd)) //nolint:errcheck // only a path

	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))

	return Write{Path: path}, err
}

// writtenAttribute reads the file handle of the event (fanotify_event_info_fid): a header of 4 bytes, the
// file system's id of 8, the handle's length and type of 4 each, and kernfs' handle, which is the inode.
func writtenAttribute(_ int32, info []byte) (Write, error) {
	if len(info) < 28 {
		return Write{}, fmt.Errorf("audit: event of %d bytes names no inode", len(info))
	}

	return Write{Inode: binary.NativeEndian.Uint64(info[20:28])}, nil
}

// Writes by a process so far.
func (a *Audit) Writes(pid int) []Write {
	a.mu.Lock()
	defer a.mu.Unlock()

	var own []Write

	for _, write := range a.writes {
		if write.PID == pid {
			own = append(own, write)
		}
	}

	return own
}

// Total is how many writes were seen, whoever made them.
func (a *Audit) Total() int {
	a.mu.Lock()
	defer a.mu.Unlock()

	return len(a.writes)
}

// Stop ends the recording. The error says that it is not complete.
func (a *Audit) Stop() error {
	err := a.close()

	a.mu.Lock()
	defer a.mu.Unlock()

	return errors.Join(err, a.err)
}

func (a *Audit) close() error {
	var errs error

	for _, group := range a.groups {
		errs = errors.Join(errs, group.Close())
	}

	a.done.Wait()

	return errs
}

// In tells whether the write was to a file of the given cgroup.
func (w Write) In(cgroup string) bool {
	at := strings.LastIndexByte(w.Path, '/')

	return at > 0 && strings.HasSuffix(w.Path[:at], cgroup)
}
