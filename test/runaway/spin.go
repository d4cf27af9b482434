// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"net"
	"time"
)

// A spin is the lookup of spegel v0.6.0 that never ends: it uses 0.9 core and sends 304-474 kB/s, and each peer that it asks
// uses a third of its CPU time and sends 0.55 of its bytes. The amounts are fixed per lookup, so the ratios are the same on any
// machine whose datagrams cost little beside Load.Cost. The allocation is a tenth of the real one, 3.5 GB/min: collecting that would cost most of the CPU time in the
// emulated machine, where it is 45 times slower.
const (
	// spinCost is the CPU time of a lookup without Load.Cost: 360 lookups per second with 0.9 core, 432 kB/s with the default
	// payload.
	spinCost = 2500 * time.Microsecond
	// peerTime and peerShare are the CPU time and the size of a peer's answer, relative to those of the lookup.
	peerTime, peerShare = 1.0 / 3, 0.55
)

// The first byte of a datagram is its kind. An advertisement begins with a big-endian key, so its kind is 0.
const (
	kindQuery  = 1
	kindAnswer = 2
	// queryHeader has the kind, in two bytes from answerSize the size of the answer, and in four from answerCost its CPU time in
	// microseconds.
	answerSize, answerCost, queryHeader = 2, 4, 8
)

// spin looks up without end as soon as the mode has been spinning. No later load ends it, only the end of the process.
func (a *Advertiser) spin(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-a.spinning:
	}

	for ctx.Err() == nil {
		a.lookup()
	}
}

// lookup asks every peer. The peers share the payload, so that the bytes do not depend on their number.
func (a *Advertiser) lookup() {
	a.mu.Lock()
	peers, payload, cost := a.peers, a.load.Payload, cmp.Or(a.load.Cost, spinCost)
	a.mu.Unlock()

	spend(cost, func() {
		record := make([]byte, keyAllocation)
		record[0] = kindQuery
		binary.BigEndian.PutUint16(record[answerSize:], uint16(peerShare*float64(payload)))
		binary.BigEndian.PutUint32(record[answerCost:], uint32(peerTime*float64(cost.Microseconds())))

		for _, peer := range peers {
			a.send(record[:max(queryHeader, payload/len(peers))], peer)
		}
	})

	a.keys.Add(1)
}

// Drain reads the datagrams of peers and answers lookups.
func (a *Advertiser) Drain() {
	buffer := make([]byte, 64<<10)

	for {
		n, peer, err := a.conn.ReadFrom(buffer)
		if err != nil {
			return
		}

		if n >= queryHeader && buffer[0] == kindQuery {
			size, cost := binary.BigEndian.Uint16(buffer[answerSize:]), binary.BigEndian.Uint32(buffer[answerCost:])
			a.answer(int(size), time.Duration(cost)*time.Microsecond, peer)
		}
	}
}

// answer performs the work of a peer that is asked.
func (a *Advertiser) answer(size int, cost time.Duration, peer net.Addr) {
	spend(cost, func() {
		record := make([]byte, max(1, size))
		record[0] = kindAnswer

		a.send(record, peer)
	})
}
