package spool

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultBytes = 256 << 20
	MinBytes     = 4 * SegmentSize

	// MemoryRecords is how many records memory holds, and ramBytes how much of their payloads.
	MemoryRecords = 8192
	ramBytes      = 16 << 20 // of their payloads
	keptMax       = 4096     // records of class Sync in memory beyond MemoryRecords, while the disk fails

	// SyncAfter is how long a record of class Sync may wait for its acknowledgement before it is
	// written; AsyncAfter the same for class Async. So much can a power cut take of what was not
	// acknowledged.
	SyncAfter  = 50 * time.Millisecond
	AsyncAfter = time.Second

	probeEvery = 30 * time.Second // between two tries of a disk that fails
	batchBytes = 1 << 20          // written and synced at once, at most
)

// Options of a spool.
type Options struct {
	Bytes   int64   // of all segments, at least MinBytes; 0: DefaultBytes
	MinFree float64 // share of the file system that stays free, 0 … 1
	FS      FS      // nil: OS
	segment int64   // bytes of one; 0: SegmentSize
}

// Spool holds records from Append until Ack. Append, Ack, Take and Connect never wait for the disk
// but where a record has to be read from it; Flush does. Append may be called by any goroutine;
// Take, Ack and Connect by one, Flush by one other.
type Spool struct {
	mu        sync.Mutex
	id        string // of the stream of numbers
	seq       uint64 // last number given
	limit     uint64 // numbers up to here are reserved on disk
	before    uint64 // last number that an earlier run may have given
	unclean   bool   // that run ended without notice
	found     uint64 // highest number that it has left on disk
	up        bool   // a connection takes records
	ring      ring
	kept      []Record        // class Sync, in memory, because the disk failed when the ring was full
	flushed   [classes]uint64 // records in memory up to here are written, or need not be
	onDisk    uint64          // highest number that was ever written
	elsewhere int             // records on disk that wait and are older than those in memory, when last counted

	acked   uint64          // all numbers up to here are done
	done    []span          // and these, above it
	low     [classes]uint64 // number of the first segment that holds what is not done
	back    queue           // what waits, oldest first
	live    queue           // what comes while a long backlog drains
	split   uint64          // the last number of back; 0: there is one queue
	lost    [reasons]Loss   // found, and not asked for
	telling [reasons]Loss   // asked for, and not safe yet as a record
	stale   bool            // the cursor on disk holds losses that are told
	tells   uint64          // number of the last record that tells of a loss
	state   State

	diskMu sync.Mutex // taken before mu
	disk   *disk      // nil: in memory only
	loaded bool       // what an earlier run has left is known
	probe  time.Time  // not before this the failing disk is tried again
	batch  []Record
	arena  []byte

	cursor *pageFile
	stream *pageFile
	lock   func() // gives the folder free; nil: it is not ours yet
}

// State says how the spool fares.
type State struct {
	Err     error  // of the disk: records are kept in memory only; nil: all is well
	Damaged int    // places in files that were stepped over at the start
	Found   string // what was wrong with the files that keep count, at the start; empty: nothing
	Full    bool   // records were dropped, and not told of yet
	Dropped uint64 // numbers told as lost since the start, whatever the reason
	Bytes   int64  // of segments in use
}

// Reason says why records were lost.
type Reason uint8

// Reasons, as the contract names them.
const (
	Full        Reason = iota // the bounds were reached: the oldest of the lowest class made room
	Damaged                   // the disk did not give back what was written
	UncleanStop               // the run before ended without notice; most of these numbers were never given
	Refused                   // the broker ended the connection each time it was sent
	reasons
)

// Reasons lists them.
func Reasons() [reasons]Reason { return [...]Reason{Full, Damaged, UncleanStop, Refused} }

func (r Reason) String() string {
	return [...]string{"full", "damaged", "unclean_stop", "refused"}[r]
}

// Memory makes a spool without a disk, for a stream with the given id.
func Memory(id string) *Spool {
	s := &Spool{id: id, limit: math.MaxUint64, ring: newRing(MemoryRecords, ramBytes)}
	s.back.to, s.tells = math.MaxUint64, math.MaxUint64
	return s
}

// StreamID names the stream of sequence numbers: a UUID that stays until the folder is wiped.
func (s *Spool) StreamID() string { return s.id }

// ErrSize is the error of a record that is too long.
var ErrSize = errors.New("record is too long")

// Append accepts a record: it gives it the next number, lets encode write the payload for that
// number into memory which is used again, and returns the number. While no connection is up, the
// record is Late. Where memory is full and the disk cannot help, the oldest record of the lowest
// class makes room. encode must not call the spool.
func (s *Spool) Append(class Class, topic string, qos byte, lost Loss,
	encode func(b []byte, seq uint64) []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := s.seq + 1
	for s.ring.full() || s.ring.count() > 0 && s.isDone(s.ring.first) {
		s.evict()
	}
	s.ring.shrink()
	s.ring.grow()
	slot := s.ring.slot(seq)
	payload := encode(slot.Payload[:0], seq)
	if len(payload) > MaxPayload || len(topic) > maxTopic {
		slot.Payload = payload[:0]
		return 0, fmt.Errorf("spool: %s: %w: %d bytes, at most %d", topic, ErrSize, len(payload), MaxPayload)
	}
	s.ring.push(slot, Record{Seq: seq, Class: class, QoS: qos, Late: !s.up, Topic: topic, Payload: payload, Lost: lost})
	s.seq = seq
	if lost.Count > 0 {
		s.tells = seq
	}
	for s.ring.bytes > s.ring.maxBytes && s.ring.count() > 1 {
		s.evict()
	}
	return seq, nil
}

// evict takes the oldest record out of memory. It is lost where it is neither done nor on disk: at
// once for class Async, for class Sync when too many of those are kept aside.
func (s *Spool) evict() {
	r := s.ring.pop()
	if r.written || s.isDone(r.Seq) {
		return
	}
	if r.Class == Async {
		s.drop(&r.Record)
		return
	}
	keep := r.Record
	keep.Payload = append([]byte(nil), r.Payload...)
	s.kept = append(s.kept, keep)
	if len(s.kept) > keptMax {
		s.drop(&s.kept[0])
		s.kept = s.kept[1:]
	}
}

// drop notes that what r itself tells of losses is lost with it; r is counted by whoever finds the
// gap.
func (s *Spool) drop(r *Record) {
	s.lost[Full].Add(r.Lost)
	s.state.Full = true
}

// Ack tells that the record with this number, and in its queue all before it, need not be sent
// again. The cursor on disk follows where one of them may be there.
func (s *Spool) Ack(seq uint64) {
	s.mu.Lock()
	if seq >= s.tells {
		s.told()
	}
	write := s.cursor != nil && (s.acked < s.onDisk || s.stale)
	if s.split != 0 && seq > s.split {
		s.mark(span{s.split + 1, seq})
	} else if seq > s.acked {
		s.acked = seq
	}
	s.join()
	var value []byte
	if write {
		value, s.stale = s.cursorValue(), false
	}
	s.mu.Unlock()
	if write {
		// An error costs repetitions only: the next may get through, and Flush finds out about the
		// disk.
		s.cursor.write(value) //nolint:errcheck
	}
}

// told notes that the records about losses are with the broker or on disk.
func (s *Spool) told() {
	s.tells = math.MaxUint64
	s.stale = s.telling != [reasons]Loss{}
	s.telling = [reasons]Loss{}
}

// Last is the last number that was given.
func (s *Spool) Last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// State says how the spool fares.
func (s *Spool) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Waiting is how many records have no acknowledgement yet, about: of those that only the disk
// holds, whole segments are counted.
func (s *Spool) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.kept)
	for seq := s.ring.first; seq < s.ring.next; seq++ {
		if !s.isDone(seq) {
			n++
		}
	}
	if s.acked+1 < s.ring.first {
		n += s.elsewhere
	}
	return n
}

// Safe reports whether the record with this number would outlive a power cut, or need not.
func (s *Spool) Safe(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDone(seq) {
		return true
	}
	if seq < s.ring.first || seq > s.seq {
		return seq <= s.onDisk
	}
	return s.ring.slot(seq).safe
}
