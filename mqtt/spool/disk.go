package spool

import (
	"errors"
	"path/filepath"
	"slices"
)

// disk is what the spool has on disk. Its methods block on it, and are called with Spool.diskMu
// held.
type disk struct {
	fs      FS
	dir     string
	size    int64   // bytes of a segment
	limit   int64   // bytes of all segments
	minFree float64 // share of the file system

	logs    [classes][]*segment // oldest first
	writing [classes]writer
	readers [classes]reader
	free    []string // names of segments that wait for their next use
	next    uint64   // number of the next segment
	full    bool     // a segment was sacrificed since last asked
	dropped Loss     // counted in records about losses that were sacrificed themselves
	cursor  *pageFile
	buf     []byte // encoded records, used again
}

// writer is the segment that a class's records go to.
type writer struct {
	segment *segment
	file    File
	seed    uint32
}

// append writes records of one class, in order, and syncs them: when it returns nil they are safe.
// After an error nothing more is written to that segment, because what a failed sync has left is
// unknown; the records that were not told safe come again.
func (d *disk) append(class Class, records []Record) (safe int, err error) {
	w := &d.writing[class]
	for safe < len(records) {
		if w.segment == nil || w.segment.end+int64(records[safe].size()) > d.size {
			if err := d.roll(class); err != nil {
				return safe, err
			}
		}
		d.buf = d.buf[:0]
		n := safe
		for n < len(records) && w.segment.end+int64(len(d.buf)+records[n].size()) <= d.size {
			d.buf = appendRecord(d.buf, &records[n], w.seed)
			n++
		}
		if _, err = w.file.WriteAt(d.buf, w.segment.end); err == nil {
			err = w.file.Sync()
		}
		if err != nil {
			d.seal(class)
			return safe, err
		}
		s := w.segment
		if s.records == 0 {
			s.first = records[safe].Seq
		}
		s.last = records[n-1].Seq
		s.records += n - safe
		s.end += int64(len(d.buf))
		safe = n
	}
	return safe, nil
}

// roll goes on to a new segment.
func (d *disk) roll(class Class) error {
	d.seal(class)
	s, f, err := d.obtain(class)
	if err != nil {
		return err
	}
	d.logs[class] = append(d.logs[class], s)
	d.writing[class] = writer{s, f, crcSeed(s.n)}
	return nil
}

// seal ends the writing to a class's segment.
func (d *disk) seal(class Class) {
	if w := &d.writing[class]; w.file != nil {
		w.file.Close()
		*w = writer{}
	}
}

// release frees the segments of which every record is acknowledged.
func (d *disk) release(acked uint64) {
	for class := range classes {
		for len(d.logs[class]) > 0 {
			s := d.logs[class][0]
			if s.last > acked || s == d.writing[class].segment {
				break
			}
			d.logs[class] = d.logs[class][1:]
			d.free = append(d.free, segmentName(class, s.n))
			d.forget(s)
		}
	}
}

// waiting counts the records of segments that are not all acknowledged and begin below a number.
func (d *disk) waiting(acked, below uint64) int {
	n := 0
	for _, l := range d.logs {
		for _, s := range l {
			if s.last > acked && s.first < below {
				n += s.records
			}
		}
	}
	return n
}

// segments counts those in use.
func (d *disk) segments() int {
	n := 0
	for _, l := range d.logs {
		n += len(l)
	}
	return n
}

func (d *disk) close() error {
	var all error
	for class := range classes {
		if w := d.writing[class]; w.file != nil {
			all = errors.Join(all, w.file.Close())
		}
		d.writing[class] = writer{}
		d.readers[class].close()
	}
	return all
}

// readChunk is what a reader takes from the disk at once; it holds the largest record.
const readChunk = 256 << 10

// reader goes through the records of one class.
type reader struct {
	segment *segment
	file    File
	at      int64 // in the segment, of the next record
	buf     []byte
	start   int64 // in the segment, of buf
	record  Record
	held    bool   // record holds the one that was read last
	above   uint64 // the number that was asked for last: whoever asks for a lower one begins anew
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
	*r = reader{buf: r.buf[:0]}
}

// forget makes sure that nobody reads s, whose file is going to be used again.
func (d *disk) forget(s *segment) {
	if r := &d.readers[s.class]; r.segment == s {
		r.close()
	}
}

// rewind makes the readers begin anew.
func (d *disk) rewind() {
	for class := range classes {
		d.readers[class].close()
	}
}

// after returns the record with the lowest number above seq, of all classes; nil where there is
// none. It is valid until the next call.
func (d *disk) after(seq uint64) *Record {
	var best *Record
	for class := range classes {
		if r := d.seek(class, seq); r != nil && (best == nil || r.Seq < best.Seq) {
			best = r
		}
	}
	return best
}

// seek goes to the first record of a class above seq; forward is quick, back begins anew.
func (d *disk) seek(class Class, seq uint64) *Record {
	r := &d.readers[class]
	if seq < r.above { // the other queue has been here
		r.close()
	}
	r.above = seq
	if r.held && r.record.Seq > seq {
		return &r.record
	}
	for {
		if r.segment == nil && !d.enter(class, seq) {
			return nil
		}
		for r.at < r.segment.end {
			if !r.load() {
				r.at += align // damage: on to the next record that holds
				continue
			}
			if r.segment.until > 0 && r.record.Seq >= r.segment.until {
				r.at = r.segment.end
			} else if r.record.Seq > seq {
				r.held = true
				return &r.record
			}
		}
		if r.segment == d.writing[class].segment {
			r.held = false
			return nil // more may come
		}
		done := r.segment.n
		r.close()
		if !d.enterAfter(class, done, seq) {
			return nil
		}
	}
}

// enter opens the first segment that holds a record above seq.
func (d *disk) enter(class Class, seq uint64) bool { return d.enterAfter(class, 0, seq) }

func (d *disk) enterAfter(class Class, n, seq uint64) bool {
	i := slices.IndexFunc(d.logs[class], func(s *segment) bool { return s.n > n && s.last > seq })
	if i < 0 {
		return false
	}
	s := d.logs[class][i]
	f, err := d.fs.Open(filepath.Join(d.dir, segmentName(class, s.n)))
	if err != nil {
		return d.enterAfter(class, s.n, seq)
	}
	r := &d.readers[class]
	*r = reader{segment: s, file: f, buf: r.buf[:0], above: seq}
	return true
}

// load decodes the record at r.at, and goes past it.
func (r *reader) load() bool {
	need := min(int64(headerSize+maxBody), r.segment.end-r.at)
	if r.at < r.start || r.at+need > r.start+int64(len(r.buf)) {
		r.start = r.at
		r.buf = append(r.buf[:0], make([]byte, min(readChunk, r.segment.end-r.at))...)
		n, _ := r.file.ReadAt(r.buf, r.start) // what cannot be read holds no record
		clear(r.buf[n:])
	}
	size := decode(r.buf[r.at-r.start:], r.segment.class, crcSeed(r.segment.n), &r.record)
	r.at += int64(size)
	return size > 0
}
