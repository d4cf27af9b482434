// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Stats has counters of the workload since its start.
type Stats struct {
	Keys     uint64 `json:"keys"`
	Sweeps   uint64 `json:"sweeps"`
	TXBytes  uint64 `json:"txBytes"`
	TXErrors uint64 `json:"txErrors"`
}

// keyAllocation is the allocation of one advertisement in the recorded incident in bytes: 3.8 GB/min at 3,342 packets/s.
const keyAllocation = 19 << 10

// Advertiser advertises the blobs of the node.
type Advertiser struct {
	conn net.PacketConn

	mu    sync.Mutex
	load  Load
	since time.Time
	next  int
	// due is the time of the next key in the paced mode.
	due   time.Time
	peers []net.Addr

	keys, sweeps, txBytes, txErrors atomic.Uint64

	// spinning is closed when a spin begins.
	spinning  chan struct{}
	startSpin sync.Once
}

// NewAdvertiser returns an advertiser with a load.
func NewAdvertiser(conn net.PacketConn, load Load) *Advertiser {
	a := &Advertiser{conn: conn, spinning: make(chan struct{})}
	a.begin(load, nil)

	return a
}

// begin sets the load and the peers. It does not end a spin.
func (a *Advertiser) begin(load Load, peers []net.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()

	now := time.Now()
	a.load, a.peers, a.since, a.next, a.due = load, peers, now, 0, now

	if load.Mode == ModeSpinning {
		a.startSpin.Do(func() { close(a.spinning) })
	}
}

// Run advertises until the context ends.
func (a *Advertiser) Run(ctx context.Context) {
	var group sync.WaitGroup

	for worker := range maxWorkers {
		group.Go(func() { a.work(ctx, worker) })
	}

	group.Go(func() { a.spin(ctx) })

	group.Wait()
}

const (
	maxWorkers = 8
	restPeriod = 250 * time.Millisecond
)

func (a *Advertiser) work(ctx context.Context, worker int) {
	for ctx.Err() == nil {
		key, peer, load, wait := a.nextKey(worker)

		if load == nil {
			sleep(ctx, restPeriod)

			continue
		}

		sleep(ctx, wait)
		a.advertise(key, peer, load)
	}
}

// nextKey returns the next blob of the sweep, or waits if the worker must rest.
func (a *Advertiser) nextKey(worker int) (int, net.Addr, *Load, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()

	active, wait := a.load.advertising(time.Since(a.since))

	workers := a.load.Workers
	if wait > 0 {
		workers = 1
	}

	if !active || worker >= workers || a.load.Blobs <= 0 {
		return 0, nil, nil, 0
	}

	if a.load.Mode == ModePaced {
		// Relative to the schedule, not to the last key, so that delays do not add up.
		a.due = a.due.Add(wait)
		wait = time.Until(a.due)
	}

	key := a.next
	a.next++

	if a.next >= a.load.Blobs {
		a.next = 0
		a.sweeps.Add(1)
	}

	var peer net.Addr

	if len(a.peers) > 0 {
		peer = a.peers[key%len(a.peers)]
	}

	load := a.load

	return key, peer, &load, wait
}

// advertise performs the work of announcing a key: it allocates, hashes and sends a datagram.
func (a *Advertiser) advertise(key int, peer net.Addr, load *Load) {
	if load.Cost > 0 {
		spend(load.Cost, func() {})
	}

	payload := load.Payload
	record := make([]byte, max(keyAllocation, payload))
	binary.BigEndian.PutUint64(record, uint64(key))

	digest := sha256.Sum256(record)
	copy(record[8:], digest[:])

	a.keys.Add(1)

	if peer == nil {
		return
	}

	a.send(record[:payload], peer)
}

func (a *Advertiser) send(datagram []byte, peer net.Addr) {
	n, err := a.conn.WriteTo(datagram, peer)
	if err != nil {
		a.txErrors.Add(1)

		return
	}

	a.txBytes.Add(uint64(n))
}

// spend does the work, and then uses CPU time until both have cost that much.
func spend(cost time.Duration, do func()) {
	// The clock counts the CPU time of the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	start := threadTime()

	do()

	var work [sha256.Size]byte

	for threadTime()-start < cost {
		work = sha256.Sum256(work[:])
	}
}

// threadTime returns the CPU time that the calling thread has used.
func threadTime() time.Duration {
	var ts unix.Timespec

	// It fails only for an unknown clock.
	unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) //nolint:errcheck

	return time.Duration(ts.Nano())
}

func (a *Advertiser) handleSteer(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	load := a.load
	a.mu.Unlock()

	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()

	// Fields that the request omits keep their value.
	if err := decoder.Decode(&load); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)

		return
	}

	if load.Workers < 1 || load.Workers > maxWorkers || load.Payload < 40 || load.Payload > keyAllocation {
		http.Error(w, "workers must be 1..8 and payload 40..19456", http.StatusBadRequest)

		return
	}

	peers := make([]net.Addr, 0, len(load.Peers))

	for _, peer := range load.Peers {
		addr, err := net.ResolveUDPAddr("udp", peer)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)

			return
		}

		peers = append(peers, addr)
	}

	a.begin(load, peers)
}

func (a *Advertiser) handleStats(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")

	json.NewEncoder(w).Encode(Stats{ //nolint:errcheck // the client is gone
		Keys: a.keys.Load(), Sweeps: a.sweeps.Load(), TXBytes: a.txBytes.Load(), TXErrors: a.txErrors.Load(),
	})
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}

	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
