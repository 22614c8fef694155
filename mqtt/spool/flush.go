package spool

import (
	"errors"
	"syscall"
	"time"
)

// Flush writes what has waited too long for its acknowledgement, and frees what has it. Call it
// every SyncAfter; it blocks on the disk. A disk that fails is left alone for half a minute, then
// tried again.
func (s *Spool) Flush() {
	s.diskMu.Lock()
	defer s.diskMu.Unlock()
	if s.disk == nil || time.Now().Before(s.probe) {
		return
	}
	err := s.enter()
	if err == nil {
		s.load()
		err = s.flush(false)
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.settle()
}

// flush writes what is due, or everything.
func (s *Spool) flush(all bool) error {
	s.mu.Lock()
	low := s.limit < s.seq+block/2
	s.mu.Unlock()
	if low {
		if err := s.reserve(); err != nil {
			return err
		}
	}
	for _, class := range [...]Class{Sync, Async} {
		for s.collect(class, all) {
			safe, err := s.disk.append(class, s.batch)
			s.written(safe)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// fail goes on in memory.
func (s *Spool) fail(err error) {
	s.probe = time.Now().Add(probeEvery)
	s.mu.Lock()
	s.state.Err = err
	s.mu.Unlock()
}

// settle frees segments and tells how things are.
func (s *Spool) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk.release(s.acked)
	for class := range classes {
		s.low[class] = s.disk.next
		if l := s.disk.logs[class]; len(l) > 0 {
			s.low[class] = l[0].n
		}
	}
	s.lost[Full].Add(s.disk.dropped)
	s.state.Full = s.state.Full || s.disk.full
	s.disk.dropped, s.disk.full = Loss{}, false
	s.elsewhere = s.disk.waiting(s.acked, s.ring.first)
	s.state.Err = nil
	s.state.Bytes = int64(s.disk.segments()) * s.disk.size
}

// collect copies the records of a class that are not written, into memory that is used again: all
// that fit a batch, once the oldest of them is due.
func (s *Spool) collect(class Class, all bool) bool {
	after := int64(AsyncAfter)
	if class == Sync {
		after = int64(SyncAfter)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch, s.arena = s.batch[:0], s.arena[:0]
	if class == Sync {
		for i := range s.kept {
			s.take(&s.kept[i])
		}
	}
	from := max(s.ring.first, s.flushed[class]+1, s.acked+1)
	for seq := from; seq < s.ring.next && len(s.arena) < batchBytes; seq++ {
		e := s.ring.slot(seq)
		if e.Class != class || e.written || s.isDone(seq) {
			if len(s.batch) == 0 {
				s.flushed[class] = seq // nothing below is left to do
			}
			continue
		}
		if len(s.batch) == 0 && !all && now()-e.born < after {
			return false
		}
		s.take(&e.Record)
		e.written = true // taken back if it is not
	}
	return len(s.batch) > 0
}

// take adds a copy of a record to the batch.
func (s *Spool) take(r *Record) {
	start := len(s.arena)
	s.arena = append(s.arena, r.Payload...)
	copied := *r
	copied.Payload = s.arena[start:len(s.arena):len(s.arena)]
	s.batch = append(s.batch, copied)
}

// written notes that the first records of the batch are safe and the others are not.
func (s *Spool) written(safe int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.batch {
		r := &s.batch[i]
		switch {
		case i < safe:
			s.onDisk = max(s.onDisk, r.Seq)
			if s.ring.holds(r.Seq) {
				s.ring.slot(r.Seq).safe = true
			}
			if len(s.kept) > 0 && s.kept[0].Seq <= r.Seq {
				s.kept = s.kept[1:]
			}
			if r.Seq >= s.tells {
				s.told()
			}
		case s.ring.holds(r.Seq):
			s.ring.slot(r.Seq).written = false
			s.flushed[r.Class] = min(s.flushed[r.Class], r.Seq-1)
		case r.Class == Async && !s.isDone(r.Seq):
			s.drop(r) // memory did not wait
		}
	}
	s.rescue(s.batch[safe:])
}

// rescue keeps aside the records of class Sync that memory gave up while they were being written in
// vain.
func (s *Spool) rescue(failed []Record) {
	for i := range failed {
		r := failed[i]
		if r.Class != Sync || s.ring.holds(r.Seq) || s.isDone(r.Seq) || len(s.kept) > 0 &&
			s.kept[len(s.kept)-1].Seq >= r.Seq {
			continue
		}
		r.Payload = append([]byte(nil), r.Payload...)
		s.kept = append(s.kept, r)
	}
}

// Close writes all that is not acknowledged, and that this run has ended well. Whoever calls Flush
// has stopped to do so. Where the disk does not take all of it, the rest is lost, which the next
// run tells: the cursor is written all the same, but not that this run has ended well.
func (s *Spool) Close() error {
	s.diskMu.Lock()
	defer s.diskMu.Unlock()
	if s.disk == nil {
		return nil
	}
	s.load()
	err := s.enter()
	entered := err == nil
	if entered {
		err = s.flush(true)
	}
	s.mu.Lock()
	last := s.seq
	s.limit = last
	value := s.cursorValue()
	s.mu.Unlock()
	if entered {
		err = errors.Join(err, s.cursor.write(value), s.cursor.sync())
	}
	if err == nil {
		err = s.writeStream(last, 1)
	}
	err = errors.Join(err, s.disk.close(), s.cursor.close(), s.stream.close())
	s.unlock()
	s.disk = nil
	return err
}

// noSpace reports whether an error says that the disk is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
