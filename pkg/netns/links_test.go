// SPDX-License-Identifier: MPL-2.0

//go:build linux

package netns

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// message is one netlink message of an answer.
func message(kind uint16, flags uint16, sequence uint32, body []byte) []byte {
	data := make([]byte, headerSize, headerSize+len(body))
	native.PutUint32(data, uint32(headerSize+len(body)))
	native.PutUint16(data[4:], kind)
	native.PutUint16(data[6:], flags)
	native.PutUint32(data[8:], sequence)

	return append(data, body...)
}

// stats is the body of an RTM_NEWSTATS whose counters count up from first.
func stats(index uint32, first uint64) []byte {
	const size = 24 * 8

	body := make([]byte, ifStatsSize+unix.SizeofRtAttr+size)
	native.PutUint32(body[4:], index)
	native.PutUint16(body[ifStatsSize:], unix.SizeofRtAttr+size)
	native.PutUint16(body[ifStatsSize+2:], statsLink64)

	for i := range uint64(size / 8) {
		native.PutUint64(body[ifStatsSize+unix.SizeofRtAttr+8*i:], first+i)
	}

	return body
}

func TestCounters_AddMessages(t *testing.T) {
	var answer []byte

	answer = append(answer, message(rtmNewStats, 0, 7, stats(loopback, 1000))...)
	answer = append(answer, message(rtmNewStats, 0, 7, stats(2, 100))...)
	answer = append(answer, message(rtmNewStats, 0, 6, stats(2, 5000))...) // a late answer to the question before
	answer = append(answer, message(rtmNewStats, 0, 7, stats(3, 200))...)

	var sum Counters

	done, err := sum.addMessages(answer, 7)
	require.NoError(t, err)
	assert.False(t, done)
	assert.Equal(t, Counters{RXPackets: 300, TXPackets: 302, RXBytes: 304, TXBytes: 306, RXDropped: 312, TXDropped: 314}, sum)

	done, err = sum.addMessages(message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, 7, make([]byte, 4)), 7)
	assert.True(t, done)
	assert.ErrorIs(t, err, errInterrupted)

	refused := -int32(unix.EPERM)
	body := make([]byte, 4)
	native.PutUint32(body, uint32(refused))

	_, err = sum.addMessages(message(unix.NLMSG_ERROR, 0, 7, body), 7)
	assert.ErrorIs(t, err, unix.EPERM)

	for _, broken := range [][]byte{
		message(rtmNewStats, 0, 7, []byte{1}),
		message(rtmNewStats, 0, 7, stats(2, 0)[:ifStatsSize+20]),
		message(rtmNewStats, 0, 7, nil)[: headerSize-4 : headerSize],
		{1: 1, headerSize: 0},
	} {
		if _, err := sum.addMessages(broken, 7); len(broken) >= headerSize {
			assert.ErrorIs(t, err, errMalformed)
		}
	}
}

func FuzzAddMessages(f *testing.F) {
	f.Add(message(rtmNewStats, 0, 7, stats(2, 100)))
	f.Add(message(unix.NLMSG_ERROR, 0, 7, []byte{1, 0, 0, 0}))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var sum Counters

		sum.addMessages(data, 7)
	})
}
