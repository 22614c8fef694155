package spool

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// block is how many sequence numbers are reserved at once: so seldom is the file synced, and so far
// the numbers jump when a run ended without notice.
const block = 1 << 20

// ErrInUse is the error of a folder that another process has.
var ErrInUse = errors.New("another agent uses this folder: give this one a state_dir of its own")

// Open makes the spool of a folder, which is made if it is not there, and goes on with its stream.
// It fails where the folder cannot be used at all, for one because another process has it
// (ErrInUse); a disk that only fails leaves a spool that is in memory for now, as State tells.
func Open(dir string, o Options) (*Spool, error) {
	s := newSpool(dir, o)
	err := s.open()
	switch {
	case err == nil:
		return s, nil
	case passing(err): // not even to be read: this run's stream is another one
		s.unlock()
		s = Memory(NewID())
		s.state.Err = fmt.Errorf("spool: open %s: %w", dir, err)
		return s, nil
	}
	s.unlock()
	return nil, fmt.Errorf("spool: open %s: %w", dir, err)
}

// ClearPlace moves aside what lies in the place of an agent's folder and is neither one nor a link,
// which may lead to a disk that is away. Where it cannot, Open says why.
func ClearPlace(dir string) {
	info, err := os.Lstat(dir)
	if err == nil && !info.IsDir() && info.Mode()&fs.ModeSymlink == 0 {
		_ = os.Rename(dir, dir+"-"+NewID()[:8])
	}
}

// newSpool is a spool that knows where its files are, and has read none.
func newSpool(dir string, o Options) *Spool {
	if o.FS == nil {
		o.FS = OS{}
	}
	s := Memory("")
	size := cmp.Or(o.segment, SegmentSize)
	s.disk = &disk{fs: o.FS, dir: dir, size: size, limit: max(cmp.Or(o.Bytes, DefaultBytes), 4*size),
		minFree: o.MinFree, next: 1}
	s.stream = &pageFile{fs: o.FS, path: filepath.Join(dir, "stream")}
	s.cursor = &pageFile{fs: o.FS, path: filepath.Join(dir, "cursor")}
	s.disk.cursor = s.cursor
	return s
}

// enter makes the folder and takes its lock, where that has not been done.
func (s *Spool) enter() error {
	if s.lock != nil {
		return nil
	}
	err := s.disk.fs.MkdirAll(s.disk.dir)
	if errors.Is(err, fs.ErrExist) { // a link that leads nowhere; the disk behind it may be away
		return fmt.Errorf("%s leads to a folder that is not there: mount the disk that it is on, or remove the link",
			s.disk.dir)
	}
	if err != nil {
		return err
	}
	s.lock, err = lockDir(s.disk.dir, s.disk.fs)
	return err
}

// unlock gives the folder free.
func (s *Spool) unlock() {
	if s.lock != nil {
		s.lock()
		s.lock = nil
	}
}

func (s *Spool) open() error {
	entered := s.enter()
	if entered != nil && !passing(entered) {
		return entered
	}
	known, err := s.recall()
	if err != nil {
		return err
	}
	if !known { // a new stream; what lies there is of another one, but comes first
		s.id = NewID()
	}
	s.before = s.seq
	s.ring.begin(s.seq + 1)
	s.back.sent = s.acked
	if entered == nil {
		entered = s.reserve()
	}
	if entered == nil && s.state.Found != "" { // the other page must not be further back than recall allows
		entered = s.reserve()
	}
	if entered != nil {
		s.id = NewID() // a later run may give the numbers of the old one again
		s.limit = 0
		s.fail(entered)
	}
	return nil
}

// recall reads where the numbers and the acknowledgements stood, and decides where the numbers go
// on: above the highest that any file knows, in the same stream only where no number of it can be
// given again. known is whether it can go on.
//
// A file of two pages that has lost one may have lost the newer: what is left is then from before
// the last write, which has reserved at most a block more (see reserve). So that far the numbers
// jump. A file that tells less than the records and acknowledgements that are there is older than
// that, and nothing bounds what was given.
func (s *Spool) recall() (known bool, err error) {
	if err := s.disk.list(); err != nil {
		return false, err
	}
	stream, lost, err := s.openSlots(s.stream)
	if err != nil {
		return false, err
	}
	known = s.readStream(stream)
	cursor, holes, _ := s.openSlots(s.cursor) // that it cannot be read costs repetitions
	told := s.readCursor(cursor)
	if !known {
		s.load()
		s.seq = s.onDisk
		if lost > 0 || s.onDisk > 0 || cursor != nil {
			s.seq, s.unclean = s.seq+block, true // what the old stream has given besides is told as lost
			s.note(max(lost, 1), "the file stream is lost: a new stream begins")
		}
		return false, nil
	}
	if !s.unclean && holes > 0 { // a power cut may have left such a page
		s.note(holes, "a page of the file cursor is lost: records may come again")
	}
	highest := max(told, s.peek())
	if lost == 0 && highest <= s.seq {
		return true, nil
	}
	reserved := s.seq
	s.load()
	highest = max(highest, s.onDisk)
	s.unclean = true
	if lost == 0 || highest > reserved+block {
		s.seq = max(reserved, highest) + block
		s.note(1, "the file stream is older than the records: a new stream begins")
		return false, nil
	}
	s.seq = max(reserved, highest) + block
	s.note(lost, fmt.Sprintf("a page of the file stream is lost: the numbers go on from %d", s.seq+1))
	return true, nil
}

// note remembers for State that one of the small files was damaged.
func (s *Spool) note(places int, what string) {
	s.state.Damaged += places
	if s.state.Found != "" {
		what = s.state.Found + "; " + what
	}
	s.state.Found = what
}

// peek reads the last segment of each class for the highest number in it.
func (s *Spool) peek() (highest uint64) {
	for class := range classes {
		log := s.disk.logs[class]
		if len(log) == 0 || log[len(log)-1].n < s.low[class] {
			continue
		}
		seg := log[len(log)-1]
		s.disk.index(seg, segmentName(class, seg.n))
		highest = max(highest, seg.last)
	}
	return highest
}

// openSlots opens one of the two small files. What stands in its place and is no file is put aside,
// and then nothing is known.
func (s *Spool) openSlots(f *pageFile) (value []byte, lost int, err error) {
	value, lost, err = f.open()
	if !errors.Is(err, errNoFile) {
		return value, lost, err
	}
	// who only looks may not
	if err := s.disk.putAside(filepath.Base(f.path)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, 0, err
	}
	return nil, 2, nil
}

// putAside moves what cannot be used into the folder bad.
func (d *disk) putAside(name string) error {
	dir := filepath.Join(d.dir, "bad")
	if err := d.fs.MkdirAll(dir); err != nil {
		return err
	}
	return d.fs.Rename(filepath.Join(d.dir, name), filepath.Join(dir, name+"-"+NewID()[:8]))
}

// passing reports whether an error is the disk's, which may be well again without a restart.
func passing(err error) bool {
	return noSpace(err) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EIO)
}

// idSize is the length of an id.
const idSize = 36

// NewID is a random UUID (RFC 9562, version 4).
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// The stream file holds the reserved number, whether it is exactly the last one given, and the id.
func (s *Spool) readStream(b []byte) bool {
	if len(b) != 9+idSize {
		return false
	}
	s.seq, s.unclean, s.id = binary.LittleEndian.Uint64(b), b[8] == 0, string(b[9:])
	return true
}

func (s *Spool) writeStream(reserved uint64, clean byte) error {
	b := append(binary.LittleEndian.AppendUint64(nil, reserved), clean)
	if err := s.stream.write(append(b, s.id...)); err != nil {
		return err
	}
	err := s.stream.sync()
	if err != nil {
		s.stream.takeBack()
	}
	return err
}

// reserve makes sure that the next numbers will not be given again by a later run: it reserves a
// block from the last one given on, which is at most the number reserved before.
func (s *Spool) reserve() error {
	s.mu.Lock()
	limit := s.seq + block
	s.mu.Unlock()
	if err := s.writeStream(limit, 0); err != nil {
		return err
	}
	s.mu.Lock()
	s.limit = limit
	value := s.cursorValue()
	s.mu.Unlock()
	if s.cursor.write(value) == nil { // a second witness of the number; whoever writes it next tries again
		s.cursor.sync() //nolint:errcheck // see above
	}
	return nil
}

// The cursor file holds what is done, for each class the first segment that is not, the id, the
// losses that no record tells of safely, and the spans that are done out of line. The last of them,
// from the reserved number to 0, is none: a stream file of an earlier day, put back, reserves less.
func (s *Spool) cursorValue() []byte {
	b := binary.LittleEndian.AppendUint64(nil, s.acked)
	for class := range classes {
		b = binary.LittleEndian.AppendUint64(b, s.low[class])
	}
	b = append(b, s.id...)
	for reason, l := range s.lost {
		l.Add(s.telling[reason])
		b = binary.LittleEndian.AppendUint64(b, l.Count)
		b = binary.LittleEndian.AppendUint64(b, l.From)
		b = binary.LittleEndian.AppendUint64(b, l.To)
	}
	for _, d := range s.done {
		b = binary.LittleEndian.AppendUint64(b, d.from)
		b = binary.LittleEndian.AppendUint64(b, d.to)
	}
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, s.limit), 0)
}

// readCursor returns the highest number that the cursor tells of; 0 where it is not this stream's.
func (s *Spool) readCursor(b []byte) (highest uint64) {
	const id = 8 + 8*int(classes)
	const losses = id + idSize
	const spans = losses + lossSize*int(reasons)
	if len(b) < spans || string(b[id:losses]) != s.id {
		return 0
	}
	word := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	s.acked = word(0)
	highest = s.acked
	for class := range int(classes) {
		s.low[class] = word(8 + 8*class)
		s.disk.next = max(s.disk.next, s.low[class]) // records in a segment below it would be passed over
	}
	for reason := range int(reasons) {
		at := losses + lossSize*reason
		s.lost[reason] = Loss{word(at), word(at + 8), word(at + 16)}
	}
	for at := spans; at+16 <= len(b); at += 16 {
		if d := (span{word(at), word(at + 8)}); d.from <= d.to {
			s.mark(d)
			highest = max(highest, d.to)
		} else if d.to == 0 {
			highest = max(highest, d.from)
		}
	}
	s.join()
	return highest
}

// list takes stock of the files of a folder, without reading them.
func (d *disk) list() error {
	names, err := d.fs.List(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		class, n, free, ok := parseSegment(name)
		if !ok {
			continue
		}
		d.next = max(d.next, n+1)
		if free { // was being made: nobody knows how far
			if err := d.fs.Remove(filepath.Join(d.dir, name)); err != nil {
				return err
			}
		} else {
			d.logs[class] = append(d.logs[class], &segment{n: n, class: class})
		}
	}
	for class := range classes {
		slices.SortFunc(d.logs[class], func(a, b *segment) int { return cmp.Compare(a.n, b.n) })
	}
	return nil
}

// load reads the segments that an earlier run has left, once. It may take as long as reading 256
// MiB does, so that Open does it only where it must.
func (s *Spool) load() {
	if s.loaded {
		return
	}
	s.loaded = true
	d := s.disk
	damaged, others, highest := 0, 0, uint64(0)
	for class := range classes {
		var found []*segment
		for _, seg := range d.logs[class] {
			name := segmentName(class, seg.n)
			if seg.n >= s.low[class] && !seg.read {
				d.index(seg, name)
			}
			damaged += seg.damaged
			if seg.foreign {
				others++
				continue
			}
			if seg.records == 0 {
				d.free = append(d.free, name) // obtain finds out whether it is still there
				continue
			}
			highest = max(highest, seg.last)
			if n := len(found); n > 0 && found[n-1].last >= seg.first {
				found[n-1].until = seg.first // written again after a sync had failed
				found[n-1].last = seg.first - 1
			}
			found = append(found, seg)
		}
		d.logs[class] = found
		d.resume(class)
	}
	if others > 0 {
		s.note(0, fmt.Sprintf("%d files hold records of another version of this program: they are kept in the "+
			"folder bad, that version can send them", others))
	}
	s.mu.Lock()
	s.state.Damaged += damaged
	s.onDisk, s.found = max(s.onDisk, highest), highest
	s.mu.Unlock()
}

// index reads a segment; a damaged one is set aside as a copy.
func (d *disk) index(s *segment, name string) {
	s.read = true
	b, err := d.read(name)
	s.end, s.damaged = scan(b, s.class, s.n, func(_ int64, r *Record) {
		if s.records == 0 {
			s.first = r.Seq
		}
		s.last = r.Seq
		s.records++
	})
	if err != nil && s.damaged == 0 {
		s.damaged = 1
	}
	switch {
	case otherVersion(b): // another version of this program made it, and can send what is in it
		s.foreign, s.damaged = true, max(1, s.damaged)
		d.putAside(name) //nolint:errcheck // see below
	case errors.Is(err, fs.ErrPermission): // its records may be well: it must not be used again
		d.putAside(name) //nolint:errcheck // a folder that cannot be written is found out by whoever writes
	case s.damaged > 0:
		d.setAside(b, name)
	}
}

// otherVersion reports whether a segment begins with a record of another version of the format.
func otherVersion(b []byte) bool {
	return len(b) > 3 && string(b[:3]) == "VgS" && binary.LittleEndian.Uint32(b) != magic
}

// keepBad is how many damaged segments are kept for whoever wants to look at them.
const keepBad = 3

// setAside copies a damaged segment to the folder bad. That it cannot is no further harm.
func (d *disk) setAside(b []byte, name string) {
	dir := filepath.Join(d.dir, "bad")
	if d.fs.MkdirAll(dir) != nil {
		return
	}
	if names, err := d.fs.List(dir); err != nil || len(names) >= keepBad {
		return
	}
	f, err := d.fs.Create(filepath.Join(dir, name))
	if err != nil {
		return
	}
	defer f.Close()
	f.WriteAt(b, 0) //nolint:errcheck // see above
}

// resume goes on writing where the last run stopped, if the segment is sound and can be synced:
// what stands in it may not be on the disk itself yet.
func (d *disk) resume(class Class) {
	l := d.logs[class]
	if len(l) == 0 || l[len(l)-1].damaged > 0 {
		return
	}
	s := l[len(l)-1]
	f, err := d.fs.Open(filepath.Join(d.dir, segmentName(class, s.n)))
	if err != nil {
		return
	}
	if f.Sync() != nil {
		f.Close()
		return
	}
	d.writing[class] = writer{s, f, crcSeed(s.n)}
}
