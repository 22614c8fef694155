package spool

import (
	"math"
	"slices"
)

// longBacklog is how many waiting records make a backlog that new ones do not wait for.
const longBacklog = 500

// queue is a way through the numbers.
type queue struct {
	sent uint64 // last number taken, or found missing
	to   uint64 // last number of the queue
}

// Connect begins a connection: what is not acknowledged is taken again, and is late. After an
// outage that left more than longBacklog records there are two queues: the backlog, and what is
// accepted from now on. Each keeps its order, and Take prefers the second, which is so slow that
// the first gets the rest.
func (s *Spool) Connect() {
	s.diskMu.Lock()
	defer s.diskMu.Unlock()
	if s.disk != nil {
		s.load()
		s.disk.rewind()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.ring.late(s.isDone)
	if s.disk != nil {
		waiting = max(waiting, s.disk.waiting(s.acked, math.MaxUint64))
		s.elsewhere = s.disk.waiting(s.acked, s.ring.first)
	}
	s.up, s.split = true, 0
	s.back = queue{sent: s.acked, to: math.MaxUint64}
	if waiting > longBacklog {
		s.split = s.seq
		s.back.to = s.split
		s.live = queue{sent: s.split, to: math.MaxUint64}
	}
}

// Disconnect ends it: what is accepted from now on is late.
func (s *Spool) Disconnect() {
	s.mu.Lock()
	s.up = false
	s.mu.Unlock()
}

// Take copies the next record to send into r, whose Payload it uses again, and reports whether
// there is one. Numbers that it finds missing are added to what Lost tells.
func (s *Spool) Take(r *Record) bool {
	s.mu.Lock()
	split := s.split
	s.mu.Unlock()
	if split != 0 && s.takeFrom(&s.live, r) || s.takeFrom(&s.back, r) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.split != 0 && s.acked >= s.split { // the backlog is delivered: one queue again
		s.split = 0
		s.back = s.live
	}
	return false
}

// takeFrom takes the next record of a queue.
func (s *Spool) takeFrom(l *queue, r *Record) bool {
	from, known, ok := s.look(l, r)
	if from > known {
		return false
	}
	if !ok { // memory does not have it: perhaps the disk, and what is kept aside
		ok = s.search(from, known, r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.miss(from, known)
		l.sent = known
		return false
	}
	if r.Seq > from {
		s.miss(from, r.Seq-1)
	}
	l.sent = r.Seq
	return true
}

// look finds the first number of a queue that is neither taken nor done, and the last one that
// there may be; where memory has the record of the first, it is copied.
func (s *Spool) look(l *queue, r *Record) (from, known uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, known = s.skip(l.sent+1), min(l.to, s.seq)
	if from <= known && s.ring.holds(from) {
		s.ring.slot(from).copyTo(r)
		return from, known, true
	}
	return from, known, false
}

// search copies the record with the lowest number from … known that is not done, wherever it is.
func (s *Spool) search(from, known uint64, r *Record) bool {
	s.diskMu.Lock()
	defer s.diskMu.Unlock()
	if s.disk != nil {
		s.load()
	}
	var found *Record
	for at := from - 1; s.disk != nil; at = found.Seq {
		if found = s.disk.after(at); found == nil || !s.Done(found.Seq) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.kept, func(k Record) bool { return k.Seq >= from && !s.isDone(k.Seq) }); i >= 0 &&
		(found == nil || s.kept[i].Seq < found.Seq) {
		found = &s.kept[i]
	}
	if seq := s.skip(max(from, s.ring.first)); s.ring.holds(seq) && (found == nil || seq <= found.Seq) {
		found = &s.ring.slot(seq).Record
	}
	if found == nil || found.Seq > known {
		return false
	}
	found.copyTo(r)
	return true
}

// copyTo overwrites r with a deep copy.
func (e *Record) copyTo(r *Record) {
	payload := append(r.Payload[:0], e.Payload...)
	*r = *e
	r.Payload = payload
}

// miss counts the numbers from … to that nobody has any more, and remembers that it did.
func (s *Spool) miss(from, to uint64) {
	reason := Damaged // what a clean end left, and is not there: somebody took files away
	switch {
	case from > s.before:
		reason = Full
	case s.unclean && (s.state.Damaged == 0 || from > s.found):
		reason = UncleanStop
	}
	for seq := s.skip(from); seq <= to; {
		end := to
		for _, d := range s.done {
			if d.from > seq && d.from <= end {
				end = d.from - 1
				break
			}
		}
		s.lost[reason].Add(Loss{end - seq + 1, seq, end})
		s.state.Dropped += end - seq + 1
		s.mark(span{seq, end})
		seq = s.skip(end + 1)
	}
	s.join()
}

// Lost returns what was lost for a reason since the last call, to be told at once in a record that
// carries it. Until that is safe, the cursor remembers it.
func (s *Spool) Lost(reason Reason) Loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := s.lost[reason]
	s.lost[reason] = Loss{}
	s.telling[reason].Add(lost)
	s.state.Full = s.state.Full && reason != Full
	return lost
}

// Refuse gives up the record with this number: it counts as lost.
func (s *Spool) Refuse(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost[Refused].Add(Loss{1, seq, seq})
	s.state.Dropped++
	s.mark(span{seq, seq})
	s.join()
}
