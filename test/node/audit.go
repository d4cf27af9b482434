// SPDX-License-Identifier: MPL-2.0

//go:build linux

package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Write is one write to the hierarchy: to a file, or of an extended attribute of a directory.
type Write struct {
	// PID of the writing process.
	PID int
	// Inode of the cgroup's directory.
	Inode uint64
	// File in it; empty for an attribute of the directory.
	File string
}

// Audit records every write to the unified hierarchy by any process in any mount namespace (fanotify(7)). A comparison of
// values before and after would miss values that were changed and restored in between.
type Audit struct {
	groups []*os.File
	done   sync.WaitGroup

	mu     sync.Mutex
	writes []Write
	err    error
}

// StartAudit starts the recording.
func StartAudit() (*Audit, error) {
	audit := &Audit{}

	for _, group := range []struct {
		flags uint
		mask  uint64
		write func(info []byte) (Write, error)
	}{
		// Events have handle and name. A file descriptor cannot be opened for a cgroup that was removed before its event is read.
		{unix.FAN_CLASS_NOTIF | unix.FAN_REPORT_DFID_NAME, unix.FAN_MODIFY, writtenFile},
		{unix.FAN_CLASS_NOTIF | unix.FAN_REPORT_FID, unix.FAN_ATTRIB | unix.FAN_ONDIR, writtenAttribute},
	} {
		fd, err := unix.FanotifyInit(group.flags|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE, unix.O_RDONLY|unix.O_CLOEXEC)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("failed to start the audit: %w", err), audit.close())
		}

		file := os.NewFile(uintptr(fd), "fanotify")
		audit.groups = append(audit.groups, file)

		if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, group.mask, unix.AT_FDCWD, CgroupRoot); err != nil {
			return nil, errors.Join(fmt.Errorf("failed to watch %s: %w", CgroupRoot, err), audit.close())
		}

		audit.done.Go(func() { audit.record(file, group.write) })
	}

	return audit, nil
}

// record reads events until the group is closed.
func (a *Audit) record(group *os.File, decode func([]byte) (Write, error)) {
	buf := make([]byte, 64<<10)

	for {
		n, err := group.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}

		if err != nil {
			a.fail(fmt.Errorf("audit: %w", err))

			return
		}

		for data := buf[:n]; len(data) > 0; {
			var event unix.FanotifyEventMetadata

			if _, err := binary.Decode(data, binary.NativeEndian, &event); err != nil {
				a.fail(fmt.Errorf("audit: %w", err))

				return
			}

			write, err := decode(data[event.Metadata_len:event.Event_len])

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

// writtenFile reads the handle of the directory and the name of the file.
func writtenFile(info []byte) (Write, error) {
	write, err := writtenAttribute(info)
	if err != nil {
		return write, err
	}

	name, _, terminated := bytes.Cut(info[handleEnd:], []byte{0})
	if len(name) == 0 || !terminated {
		return Write{}, errors.New("audit: an event names no file")
	}

	write.File = string(name)

	return write, nil
}

// handleEnd is the size of a fanotify_event_info_fid of kernfs: header (4 bytes), id of the file system (8), length of the
// handle (4), type of the handle (4), and the handle, which is the inode (8).
const handleEnd = 28

// writtenAttribute reads the handle of the directory whose attribute was written.
func writtenAttribute(info []byte) (Write, error) {
	if len(info) < handleEnd {
		return Write{}, fmt.Errorf("audit: event of %d bytes names no inode", len(info))
	}

	return Write{Inode: binary.NativeEndian.Uint64(info[handleEnd-8 : handleEnd])}, nil
}

// Writes returns the writes of a process so far.
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

// Total returns the number of writes of all processes.
func (a *Audit) Total() int {
	a.mu.Lock()
	defer a.mu.Unlock()

	return len(a.writes)
}

// Stop ends the recording after what has happened is recorded. It returns an error if the recording is incomplete.
func (a *Audit) Stop() error {
	err := errors.Join(a.drain(), a.close())

	a.mu.Lock()
	defer a.mu.Unlock()

	return errors.Join(err, a.err)
}

// drain waits until the events that have happened are read: those in the queue of a closed file are lost.
func (a *Audit) drain() error {
	for _, group := range a.groups {
		conn, err := group.SyscallConn()
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}

		for queued := 1; queued > 0; time.Sleep(time.Millisecond) {
			if controlErr := conn.Control(func(fd uintptr) { queued, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); controlErr != nil || err != nil {
				return fmt.Errorf("audit: failed to read the length of the queue: %w", errors.Join(controlErr, err))
			}
		}
	}

	return nil
}

func (a *Audit) close() error {
	var errs error

	for _, group := range a.groups {
		errs = errors.Join(errs, group.Close())
	}

	a.done.Wait()

	return errs
}
