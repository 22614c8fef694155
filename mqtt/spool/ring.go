package spool

import "time"

// began is when this process did: ages are told by the monotonic clock.
var began = time.Now()

func now() int64 { return int64(time.Since(began)) }

// entry is a record in memory.
type entry struct {
	Record
	written bool  // it is on disk too, or on its way there
	safe    bool  // it is on disk
	born    int64 // nanoseconds since the spool was made
}

// ring holds the newest records in memory that is used again: entry seq stands at seq modulo its
// size, which grows to most. The numbers in it have no gaps.
type ring struct {
	entries     []entry
	most        int
	first, next uint64 // numbers held: first ≤ n < next
	bytes       int
	maxBytes    int
}

// firstSlots is how many records a ring has room for at first, and keptSlots how many it may have
// room for while it is empty.
const (
	firstSlots = 8
	keptSlots  = 256
)

func newRing(most, maxBytes int) ring {
	return ring{entries: make([]entry, min(firstSlots, most)), most: most, maxBytes: maxBytes}
}

// grow makes room for one more record, where there is none and may be.
func (r *ring) grow() {
	if r.count() < len(r.entries) || r.full() {
		return
	}
	old := *r
	r.entries = make([]entry, min(2*len(old.entries), r.most))
	for seq := r.first; seq < r.next; seq++ {
		*r.slot(seq) = *old.slot(seq)
	}
}

// shrink gives an empty ring the room it had at first, where an outage made it large.
func (r *ring) shrink() {
	if r.count() == 0 && len(r.entries) > keptSlots {
		r.entries = make([]entry, firstSlots)
	}
}

// begin makes an empty ring go on with the given number.
func (r *ring) begin(seq uint64) { r.first, r.next = seq, seq }

func (r *ring) slot(seq uint64) *entry { return &r.entries[seq%uint64(len(r.entries))] }
func (r *ring) count() int             { return int(r.next - r.first) }
func (r *ring) full() bool             { return r.count() == r.most }

// push puts a record, whose number follows the last one, into its slot.
func (r *ring) push(slot *entry, record Record) {
	if r.count() == 0 {
		r.first = record.Seq
	}
	r.next = record.Seq + 1
	*slot = entry{Record: record, born: now()}
	r.bytes += len(record.Payload)
}

// pop takes the oldest one out; it is valid until the next push.
func (r *ring) pop() *entry {
	e := r.slot(r.first)
	r.first++
	r.bytes -= len(e.Payload)
	return e
}

// holds reports whether the record with this number is in memory.
func (r *ring) holds(seq uint64) bool { return seq >= r.first && seq < r.next }

// late makes every record late that is not done, and counts them.
func (r *ring) late(done func(uint64) bool) int {
	n := 0
	for seq := r.first; seq < r.next; seq++ {
		if !done(seq) {
			r.slot(seq).Late = true
			n++
		}
	}
	return n
}
