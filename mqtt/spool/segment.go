package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// SegmentSize is the length of every segment in bytes.
const SegmentSize = 4 << 20

// segment is one file of a log. Its number is higher than that of every segment used before, and
// seeds the CRC of its records.
type segment struct {
	n           uint64
	class       Class
	end         int64  // after its last record
	first, last uint64 // sequence numbers; 0: there is no record
	until       uint64 // records from this number on stand in the next segment; 0: none do
	records     int
	damaged     int  // places that were stepped over when it was read at the start
	read        bool // it was
	foreign     bool // another version of this program made it
}

func segmentName(class Class, n uint64) string { return fmt.Sprintf("%s-%016x.seg", class, n) }

const freePrefix = "free"

// parseSegment reads the name of a segment; free ones have no class.
func parseSegment(name string) (class Class, n uint64, free, ok bool) {
	base, isSegment := strings.CutSuffix(name, ".seg")
	kind, digits, found := strings.Cut(base, "-")
	n, err := strconv.ParseUint(digits, 16, 64)
	if !isSegment || !found || err != nil || len(digits) != 16 {
		return 0, 0, false, false
	}
	switch kind {
	case Async.String():
		return Async, n, false, true
	case Sync.String():
		return Sync, n, false, true
	}
	return 0, n, true, kind == freePrefix
}

// scan calls see with every record of a segment's bytes that holds, and returns the end of the last
// one and how often it had to step over damage to find the next. Records come with rising numbers:
// an older one is a remnant.
func scan(b []byte, class Class, n uint64, see func(at int64, r *Record)) (end int64, damaged int) {
	seed := crcSeed(n)
	var r Record
	last := uint64(0)
	at, whole := 0, true
	for at+headerSize <= len(b) {
		size := decode(b[at:], class, seed, &r)
		if size == 0 || r.Seq <= last {
			at += align
			whole = false
			continue
		}
		if !whole {
			damaged++
			whole = true
		}
		see(int64(at), &r)
		last = r.Seq
		at += size
		end = int64(at)
	}
	return end, damaged
}

// read returns a segment's bytes; what cannot be read is zero, and so holds no record.
func (d *disk) read(name string) ([]byte, error) {
	f, err := d.fs.Open(filepath.Join(d.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, d.size)
	const step = 64 << 10
	var trouble error
	for at := 0; at < len(b); at += step {
		part := b[at:min(at+step, len(b))]
		n, err := f.ReadAt(part, int64(at))
		if err != nil && !errors.Is(err, io.EOF) {
			trouble = err
		}
		clear(part[n:])
	}
	return b, trouble
}

// obtain makes a segment for new records of a class: one that waits for its next use, a new one,
// or, where the bounds do not allow one, the oldest of the lowest class, whose records are lost.
// When it returns, the file's name is safe.
func (d *disk) obtain(class Class) (*segment, File, error) {
	for {
		if len(d.free) == 0 {
			if err := d.extend(); err != nil && (!noSpace(err) || !d.sacrifice(class)) {
				return nil, nil, err
			}
		}
		// What stands in a file that is used again was acknowledged, or told as lost: that must be
		// known after a power cut, or it would look like damage.
		if err := d.cursor.sync(); err != nil {
			return nil, nil, err
		}
		s, f, err := d.reuse(class)
		if !errors.Is(err, errUnusable) {
			return s, f, err
		}
		d.free = d.free[:len(d.free)-1] // the next one, or a new one
	}
}

// errUnusable is the error of a free file that is gone, is another account's, or is none.
var errUnusable = errors.New("file cannot be used")

// reuse gives the last of the free files the name and the number of a new segment.
func (d *disk) reuse(class Class) (*segment, File, error) {
	s := &segment{n: d.next, class: class, read: true}
	d.next++
	waiting := &d.free[len(d.free)-1]
	path := filepath.Join(d.dir, segmentName(class, s.n))
	if err := d.fs.Rename(filepath.Join(d.dir, *waiting), path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errUnusable
		}
		return nil, nil, err
	}
	*waiting = segmentName(class, s.n)
	if err := d.fs.SyncDir(d.dir); err != nil {
		return nil, nil, err
	}
	f, err := d.fs.Open(path)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errNoFile) {
		d.putAside(*waiting) //nolint:errcheck // it is not used again either way
		return nil, nil, errUnusable
	}
	if err != nil {
		return nil, nil, err
	}
	d.free = d.free[:len(d.free)-1]
	return s, f, nil
}

// extend makes one more segment.
func (d *disk) extend() error {
	if !d.room() {
		return errNoRoom
	}
	name := fmt.Sprintf("%s-%016x.seg", freePrefix, d.next)
	d.next++
	if err := d.create(name); err != nil {
		return err
	}
	d.free = append(d.free, name)
	return nil
}

// errNoRoom is a disk that is full by our own bounds.
var errNoRoom = fmt.Errorf("mqtt.spool.bytes or mqtt.spool.min_free is reached: %w", syscall.ENOSPC)

// room reports whether one more segment is within the bounds.
func (d *disk) room() bool {
	used := len(d.free)
	for _, l := range d.logs {
		used += len(l)
	}
	if int64(used+1)*d.size > d.limit {
		return false
	}
	free, total, err := d.fs.Free(d.dir)
	return err != nil || float64(free-d.size) >= d.minFree*float64(total)
}

// create writes a new file of zeros, so that later only data has to be written.
func (d *disk) create(name string) (err error) {
	path := filepath.Join(d.dir, name)
	f, err := d.fs.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			d.fs.Remove(path)
		}
	}()
	zeros := make([]byte, 256<<10)
	for at := int64(0); at < d.size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), d.size-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// sacrifice frees the oldest segment of the lowest class up to the given one, but none that is
// being written. Whoever reads on finds the gap in the numbers, and counts it.
func (d *disk) sacrifice(highest Class) bool {
	for class := range highest + 1 {
		for i, s := range d.logs[class] {
			if s == d.writing[class].segment {
				continue
			}
			if class == Sync { // what it tells of losses must not be lost with it
				b, _ := d.read(segmentName(class, s.n))
				scan(b, class, s.n, func(_ int64, r *Record) { d.dropped.Add(r.Lost) })
			}
			d.full = true
			d.logs[class] = append(d.logs[class][:i:i], d.logs[class][i+1:]...)
			d.free = append(d.free, segmentName(class, s.n))
			d.forget(s)
			return true
		}
	}
	return false
}
