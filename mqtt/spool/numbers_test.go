package spool

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// sent is one message as a reader knows it.
type sent struct {
	stream string
	seq    uint64
}

// named appends n records that tell their stream and number, and a word of their own.
func named(t *testing.T, s *Spool, word string, n int) (all map[sent]string) {
	t.Helper()
	all = map[sent]string{}
	for i := range n {
		class := Class(i % 2)
		seq, err := s.Append(class, "t", 1, Loss{}, func(b []byte, seq uint64) []byte {
			return fmt.Appendf(b, "%s %d %s", s.StreamID(), seq, word)
		})
		if err != nil {
			t.Fatal(err)
		}
		all[sent{s.StreamID(), seq}] = word
	}
	return all
}

// readers is what arrives: no number twice for two messages, and what is told as lost.
type readers struct {
	t    *testing.T
	got  map[sent]string
	lost []Loss
	did  string
}

// drain takes all that s has, and what it then tells.
func (r *readers) drain(s *Spool) {
	r.t.Helper()
	s.Connect()
	for range 4 {
		var record Record
		for s.Take(&record) {
			var m sent
			var word string
			if _, err := fmt.Sscan(string(record.Payload), &m.stream, &m.seq, &word); err != nil {
				r.t.Fatalf("%q: %v", record.Payload, err)
			}
			if before, again := r.got[m]; again && before != word {
				r.t.Fatalf("number %d of stream %s names %q and %q", m.seq, m.stream, before, word)
			}
			r.got[m] = word
			s.Ack(record.Seq)
		}
		for reason := range reasons {
			if l := s.Lost(reason); l.Count > 0 {
				r.lost = append(r.lost, l)
			}
		}
	}
}

// expect fails for what was given and neither came nor is told as lost.
func (r *readers) expect(given map[sent]string, all bool) {
	r.t.Helper()
	for m, word := range given {
		if r.got[m] == word {
			continue
		}
		told := slices.ContainsFunc(r.lost, func(l Loss) bool { return m.seq >= l.From && m.seq <= l.To })
		if all || !told {
			r.t.Fatalf("%q, number %d, is gone; told as lost: %v. %s", word, m.seq, r.lost, r.did)
		}
	}
}

// Whatever happens to the two files that keep count: no record that waits is lost, no number is
// given again, a page that is gone is told, and so is the gap that the numbers make. A first run
// ends well, a second one is killed with records on disk, after which the file is damaged; a third
// goes on.
func TestCountsDamaged(t *testing.T) {
	page := func(i int) func(b []byte) []byte {
		return func(b []byte) []byte { clear(b[i*pageSize : (i+1)*pageSize]); return b }
	}
	newest := func(b []byte) int { // page
		a, _ := readSlot(slices.Clone(b[:pageSize]))
		if z, _ := readSlot(slices.Clone(b[pageSize:])); z > a {
			return 1
		}
		return 0
	}
	cases := map[string]struct {
		file string
		hurt func(b []byte) []byte
		told bool
		same bool // the stream goes on
	}{
		"newest page":     {"stream", func(b []byte) []byte { return page(newest(b))(b) }, true, true},
		"older page":      {"stream", func(b []byte) []byte { return page(1 - newest(b))(b) }, true, true},
		"both pages":      {"stream", func(b []byte) []byte { clear(b); return b }, true, false},
		"a bit of newest": {"stream", func(b []byte) []byte { b[newest(b)*pageSize+17] ^= 4; return b }, true, true},
		"a sum":           {"stream", func(b []byte) []byte { b[newest(b)*pageSize+13] ^= 4; return b }, true, true},
		"noise": {"stream",
			func(b []byte) []byte { copy(b[newest(b)*pageSize:], "noise noise noise"); return b }, true, true},
		"cut in the half": {"stream", func(b []byte) []byte { return b[:pageSize] }, true, true},
		"cut in a page":   {"stream", func(b []byte) []byte { return b[:pageSize+20] }, true, true},
		"empty":           {"stream", func(b []byte) []byte { return nil }, true, false},
		"pages exchanged": {"stream",
			func(b []byte) []byte { return append(slices.Clone(b[pageSize:]), b[:pageSize]...) }, false, true},
		"one page twice": {"stream",
			func(b []byte) []byte { return append(slices.Clone(b[:pageSize]), b[:pageSize]...) }, true, true},
		"grown":          {"stream", func(b []byte) []byte { return append(b, "grown"...) }, false, true},
		"cursor: newest": {"cursor", func(b []byte) []byte { return page(newest(b))(b) }, false, true},
		"cursor: both":   {"cursor", func(b []byte) []byte { clear(b); return b }, false, true},
		"cursor: empty":  {"cursor", func(b []byte) []byte { return nil }, false, true},
		"cursor: exchange": {"cursor",
			func(b []byte) []byte { return append(slices.Clone(b[pageSize:]), b[:pageSize]...) }, false, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			disk := newMemFS()
			r := &readers{t: t, got: map[sent]string{}}
			s := open(t, small(disk))
			id := s.StreamID()
			first := named(t, s, "first", 58)
			r.drain(s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, small(disk))
			live := named(t, s, "live", 30) // delivered at once: no file but the stream's tells of them
			r.drain(s)
			waiting := named(t, s, "waiting", 122)
			force(s)
			disk = disk.clone() // killed
			node := disk.files["spool/"+c.file]
			node.now = c.hurt(node.now)

			s = open(t, small(disk))
			if told := s.State().Found != ""; told != c.told {
				t.Errorf("told %q", s.State().Found)
			}
			if same := s.StreamID() == id; same != c.same {
				t.Errorf("the same stream: %t, want %t", same, c.same)
			}
			third := named(t, s, "third", 200)
			r.drain(s)
			for _, given := range []map[sent]string{first, live, waiting, third} {
				r.expect(given, true)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, small(disk.clone())) // the damage is mended
			if s.State().Found != "" {
				t.Errorf("found again: %s", s.State().Found)
			}
			fourth := named(t, s, "fourth", 10)
			r.drain(s)
			r.expect(fourth, true)
		})
	}
}

// The stream file of an earlier day, put back: what it tells is less than the records and the
// acknowledgements tell.
func TestOldStreamFile(t *testing.T) {
	for _, what := range []string{"records", "acknowledgements"} {
		disk := newMemFS()
		r := &readers{t: t, got: map[sent]string{}}
		s := open(t, small(disk))
		s.Connect()
		named(t, s, "first", 5)
		r.drain(s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		old := bytes.Clone(disk.files["spool/stream"].now)
		s = open(t, small(disk))
		waiting := named(t, s, "waiting", 40)
		force(s)
		if what == "acknowledgements" {
			r.drain(s)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		disk = disk.clone()
		disk.files["spool/stream"].now = old
		s = open(t, small(disk))
		third := named(t, s, "third", 60)
		r.drain(s)
		r.expect(waiting, true)
		r.expect(third, true)
		if s.State().Found == "" {
			t.Errorf("%s: nobody is told", what)
		}
	}
}

// The stream file of an earlier day, put back while all segments are gone: the cursor alone knows how
// far the numbers went, also where nothing was acknowledged since, and where the run was killed.
func TestOldStreamFileAlone(t *testing.T) {
	for _, end := range []string{"closed", "killed"} {
		disk := newMemFS()
		r := &readers{t: t, got: map[sent]string{}}
		s := open(t, small(disk))
		named(t, s, "first", 5)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		old := bytes.Clone(disk.files["spool/stream"].now)
		s = open(t, small(disk))
		lost := named(t, s, "lost", 40)
		force(s)
		if end == "closed" {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		disk = disk.clone()
		disk.files["spool/stream"].now = old
		for _, name := range disk.segments() {
			delete(disk.files, name)
			delete(disk.durable, name)
		}
		s = open(t, small(disk))
		if s.State().Found == "" {
			t.Errorf("%s: nobody is told", end)
		}
		third := named(t, s, "third", 60)
		for key := range third {
			if word, twice := lost[key]; twice {
				t.Errorf("%s: %v names %s again", end, key, word)
			}
		}
		r.drain(s)
		r.expect(third, true)
	}
}

// Segments that are gone with the cursor still there: the numbers of new ones begin above it, or
// their records would be passed over after the next kill.
func TestSegmentsGone(t *testing.T) {
	disk := newMemFS()
	r := &readers{t: t, got: map[sent]string{}}
	s := open(t, small(disk))
	for range 5 {
		named(t, s, "old", 100)
		force(s)
		r.drain(s)
		force(s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	disk = disk.clone()
	for _, name := range disk.segments() {
		delete(disk.files, name)
		delete(disk.durable, name)
	}
	s = open(t, small(disk))
	waiting := named(t, s, "waiting", 50)
	s.diskMu.Lock()
	if err := s.flush(true); err != nil {
		t.Fatal(err)
	}
	s.diskMu.Unlock()
	s = open(t, small(disk.clone())) // killed before the cursor was written
	r.drain(s)
	r.expect(waiting, true)
}

// Hundreds of folders with the small files damaged at random, up to both at once, and segments as
// well: every record arrives or is told, and no number names two messages.
func TestCountsDamagedAtRandom(t *testing.T) {
	trials := *damages / 4
	for trial := range trials {
		random := rand.New(rand.NewPCG(uint64(trial), 11))
		disk := newMemFS()
		r := &readers{t: t, got: map[sent]string{}}
		var all []map[sent]string
		var did []string
		s := open(t, small(disk))
		for life := range 4 {
			all = append(all, named(t, s, fmt.Sprint("life", life), 1+random.IntN(80)))
			if random.IntN(2) == 0 {
				r.drain(s)
				all = append(all, named(t, s, fmt.Sprint("more", life), random.IntN(40)))
				did = append(did, "drained")
			}
			force(s)
			if random.IntN(2) == 0 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			disk = disk.clone()
			for range random.IntN(3) {
				names := append(disk.segments(), "spool/stream", "spool/stream", "spool/cursor")
				node := disk.files[names[random.IntN(len(names))]]
				if node == nil || len(node.now) == 0 {
					continue
				}
				at := random.IntN(len(node.now))
				if random.IntN(2) == 0 {
					at = random.IntN(2) * pageSize % len(node.now)
				}
				did = append(did, fmt.Sprintf("life %d, seq %d, %s of %d at %d", life, s.seq, names, len(names), at))
				switch random.IntN(4) {
				case 0:
					node.now[at] ^= 1 << random.IntN(8)
				case 1:
					node.now = node.now[:at]
				case 2:
					at &^= pageSize - 1
					clear(node.now[at:min(at+pageSize, len(node.now))])
				case 3:
					for i := at; i < min(at+500, len(node.now)); i++ {
						node.now[i] = byte(random.Uint32())
					}
				}
			}
			s = open(t, small(disk))
			did = append(did, s.State().Found)
		}
		r.drain(s)
		r.did = fmt.Sprint("trial ", trial, ": ", did)
		for _, given := range all {
			r.expect(given, false)
		}
		if t.Failed() {
			t.Fatalf("trial %d", trial)
		}
	}
}

// What stands in the place of a file and is none is put aside.
func TestNoFile(t *testing.T) {
	for _, name := range []string{"stream", "cursor", "lock", "sync-0000000000000001.seg"} {
		dir := t.TempDir() + "/spool"
		mustMkdir(t, dir+"/"+name+"/inside")
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		given := named(t, s, "given", 5)
		force(s)
		r := &readers{t: t, got: map[sent]string{}}
		r.drain(s)
		r.expect(given, true)
		if err := s.State().Err; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if sum, err := Inspect(dir, nil); err != nil || sum.Damaged > 0 {
			t.Errorf("%s: %+v, %v", name, sum, err)
		}
	}
}

// A disk that is full at the end costs what waits in memory, and nothing else: what is acknowledged
// is remembered, what is lost is told, and no number is given again.
func TestFullAtTheEnd(t *testing.T) {
	for _, op := range []string{"create", "write", "sync"} {
		disk := newMemFS()
		r := &readers{t: t, got: map[sent]string{}}
		s := open(t, small(disk))
		named(t, s, "sent", 10)
		r.drain(s)
		disk.fault = func(now string, _ int) error {
			if now == op {
				return errFull
			}
			return nil
		}
		lost := named(t, s, "lost", 400)
		if err := s.Close(); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: closed on a full disk: %v", op, err)
		}
		disk.fault = nil
		s = open(t, small(disk.clone()))
		next := named(t, s, "next", 10)
		r.drain(s)
		r.expect(next, true)
		r.expect(lost, false)
	}
}
