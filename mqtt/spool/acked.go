package spool

import "slices"

// span is the numbers from … to.
type span struct{ from, to uint64 }

// maxDone bounds how much is remembered out of line; forgetting a span costs repetitions.
const maxDone = 64

// isDone reports whether a record need not be sent (again).
func (s *Spool) isDone(seq uint64) bool { return s.skip(seq) != seq }

// Done is isDone for whoever does not hold the lock.
func (s *Spool) Done(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isDone(seq)
}

// skip is the first number from seq on that is not done.
func (s *Spool) skip(seq uint64) uint64 {
	seq = max(seq, s.acked+1)
	for _, d := range s.done {
		if seq < d.from {
			break
		}
		seq = max(seq, d.to+1)
	}
	return seq
}

// mark adds numbers that are done to the spans, which stay sorted and apart.
func (s *Spool) mark(d span) {
	i := 0
	for i < len(s.done) && s.done[i].to+1 < d.from {
		i++
	}
	j := i
	for j < len(s.done) && s.done[j].from <= d.to+1 {
		d.from, d.to = min(d.from, s.done[j].from), max(d.to, s.done[j].to)
		j++
	}
	s.done = slices.Replace(s.done, i, j, d)
	if len(s.done) > maxDone {
		s.done = slices.Delete(s.done, 0, 1)
	}
}

// join takes into acked what follows it.
func (s *Spool) join() {
	for len(s.done) > 0 && s.done[0].from <= s.acked+1 {
		s.acked = max(s.acked, s.done[0].to)
		s.done = slices.Delete(s.done, 0, 1)
	}
}
