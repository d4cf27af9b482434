// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spegel-guard/spegel-guard/internal/mounts"
)

// nfsMount is one NFS mount of /proc/<pid>/mountstats (fs/proc_namespace.c, fs/nfs/super.c, net/sunrpc/stats.c).
type nfsMount struct {
	source, point string

	readBytes, writeBytes             uint64
	operations, roundTripMilliseconds uint64

	// hasBytes and inOperations: the line was read.
	hasBytes, inOperations bool
	// inText: the lines are a part of the server's own text.
	inText bool
	err    error
}

// parseMountStats reads the NFS mounts. What cannot be read is added to skipped; the mounts are all others.
//
//	device nas:/export mounted on /a with fstype nfs4 statvers=1.1
//		opts:	rw,vers=4.2
//		impl_id:	name='...',domain='...',date='...'
//		caps:	...
//		bytes:	...
//		per-op statistics
//		        READ: ...
func parseMountStats(r io.Reader, skipped *mounts.Skipped) []nfsMount {
	var (
		found   []nfsMount
		current *nfsMount
	)

	end := func() {
		if current == nil {
			return
		}

		if err := current.complete(); err != nil {
			skipped.Add(fmt.Errorf("failed to parse the statistics of %.100q on %.100q: %w", current.source, current.point, err))
		} else {
			found = append(found, *current)
		}

		current = nil
	}

	for line, err := range mounts.Lines(r) {
		switch {
		case err != nil:
			current = nil // it may be half

			skipped.Add(fmt.Errorf("failed to read the statistics of mounts to their end: %w", err))
		case current != nil && current.inText:
			current.inText = !strings.HasPrefix(line, "\tcaps:")
		case line == "":
		case line[0] == '\t' || line[0] == ' ':
			if current != nil {
				current.add(line)
			}
		default:
			end()

			current, err = parseDevice(line)
			skipped.Add(err)
		}
	}

	end()

	return unique(found, skipped)
}

// unique leaves out mounts that appear twice: a server's own text can end its mount and begin another.
func unique(found []nfsMount, skipped *mounts.Skipped) []nfsMount {
	times := map[string]int{}

	for _, mount := range found {
		times[mount.point]++
	}

	return slices.DeleteFunc(found, func(mount nfsMount) bool {
		twice := times[mount.point] > 1
		if twice {
			skipped.Add(fmt.Errorf("the statistics have %.100q on %.100q more than once", mount.source, mount.point))
		}

		return twice
	})
}

// parseDevice reads the first line of a mount; nil for one that is not NFS. The source may be empty.
func parseDevice(line string) (*nfsMount, error) {
	rest, ok := strings.CutPrefix(line, "device ")
	if !ok {
		// The kernel writes "no device mounted on" for a mount without a source.
		rest, ok = strings.CutPrefix(line, "no device")
	}

	source, rest, mounted := strings.Cut(rest, " mounted on ")
	point, rest, typed := strings.Cut(rest, " with fstype ")

	if !ok || !mounted || !typed {
		return nil, fmt.Errorf("failed to parse the line %.100q of the statistics of mounts", line)
	}

	if fstype, _, _ := strings.Cut(rest, " "); fstype != "nfs" && fstype != "nfs4" {
		return nil, nil //nolint:nilnil // none
	}

	return &nfsMount{source: source, point: point}, nil
}

// add reads a line below the first.
func (m *nfsMount) add(line string) {
	fields := strings.Fields(line)

	switch {
	case len(fields) == 0 || m.err != nil:
	case m.inOperations:
		// READ: requests transmissions timeouts sent received queue-ms response-ms total-ms
		requests, milliseconds := m.number(fields, 1), m.number(fields, 7)
		m.operations += requests
		m.roundTripMilliseconds += milliseconds
	case fields[0] == "impl_id:":
		m.inText = true
	case fields[0] == "bytes:":
		// Those of read(2) and write(2), with O_DIRECT, and from and to the server.
		m.hasBytes, m.readBytes, m.writeBytes = true, m.number(fields, 5), m.number(fields, 6)
	case fields[0] == "per-op":
		m.inOperations = true
	}
}

func (m *nfsMount) number(fields []string, index int) uint64 {
	if index >= len(fields) {
		m.err = fmt.Errorf("%.100q has %d values, at least %d are needed", fields[0], len(fields)-1, index)

		return 0
	}

	value, err := strconv.ParseUint(fields[index], 10, 64)
	if err != nil {
		m.err = fmt.Errorf("value %d of %.100q is %.100q and not a number of 64 bits", index, fields[0], fields[index])
	}

	return value
}

// complete returns why the mount's values are not known.
func (m *nfsMount) complete() error {
	switch {
	case m.err != nil:
		return m.err
	case m.inText:
		return errors.New("the line caps: is missing")
	case !m.hasBytes:
		return errors.New("the line bytes: is missing")
	case !m.inOperations:
		return errors.New("the line per-op statistics is missing")
	default:
		return nil
	}
}
