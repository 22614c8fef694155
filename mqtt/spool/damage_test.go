package spool

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var damages = flag.Int("damages", 1000, "damaged folders of TestDamage")

// filled is a folder with records in it, its run cut short, and the oracle that knows them.
func filled(t *testing.T, seed uint64, records int) (*memFS, *oracle) {
	t.Helper()
	files, o := newMemFS(), newOracle(t)
	s, err := Open("spool", Options{FS: files, segment: 16 << 10, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 3))
	for range records {
		o.append(s, random)
		if random.IntN(20) == 0 {
			if err := s.flush(true); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.flush(true); err != nil {
		t.Fatal(err)
	}
	s.settle()
	return files, o
}

// clone is a copy of a file system in which everything is durable.
func (m *memFS) clone() *memFS {
	after := newMemFS()
	for name, n := range m.files {
		c := &inode{now: slices.Clone(n.now), disk: slices.Clone(n.now)}
		after.files[name], after.durable[name] = c, c
	}
	return after
}

// Flipped bits, lost ends and zeroed pages, in thousands of folders: nothing panics, no payload is
// wrong, no record is lost but those in the damaged places, and what is lost is told.
func TestDamage(t *testing.T) {
	sound, o := filled(t, 1, 300)
	names := sound.segments()
	gone := 0
	for trial := range *damages {
		random := rand.New(rand.NewPCG(uint64(trial), 5))
		files := sound.clone()
		hurt := map[string][]span{} // bytes of segments
		for range 1 + random.IntN(3) {
			name := names[random.IntN(len(names))]
			if random.IntN(10) == 0 {
				name = []string{"spool/stream", "spool/cursor"}[random.IntN(2)]
			}
			n := files.files[name]
			if n == nil || len(n.now) == 0 {
				continue
			}
			at := random.IntN(len(n.now))
			switch random.IntN(3) {
			case 0:
				n.now[at] ^= 1 << random.IntN(8)
				hurt[name] = append(hurt[name], span{uint64(at), uint64(at)})
			case 1:
				hurt[name] = append(hurt[name], span{uint64(at), uint64(len(n.now))})
				n.now = n.now[:at]
			case 2:
				at &^= 4095
				end := min(at+4096, len(n.now))
				clear(n.now[at:end])
				hurt[name] = append(hurt[name], span{uint64(at), uint64(end)})
			}
		}
		intact := map[uint64]bool{}
		for _, name := range names {
			class, number, _, _ := parseSegment(strings.TrimPrefix(name, "spool/"))
			scan(sound.files[name].now, class, number, func(at int64, r *Record) {
				intact[r.Seq] = !slices.ContainsFunc(hurt[name], func(d span) bool {
					return d.from < uint64(at)+uint64(r.size()) && d.to >= uint64(at)
				})
			})
		}
		s, err := Open("spool", Options{FS: files, segment: 16 << 10, Bytes: 1 << 20})
		if err != nil {
			t.Fatalf("trial %d: %v", trial, err)
		}
		after := &oracle{t: t, payload: map[uint64][]byte{}, safe: intact, got: map[uint64]bool{},
			tells: map[uint64]Loss{}}
		for seq, p := range o.payload {
			if seq <= s.before { // above it: the stream file is gone, and so is the last record
				after.payload[seq] = p
			}
		}
		after.drain(s)
		after.complete(false)
		for seq := range o.payload {
			if !after.got[seq] {
				gone++
			}
		}
		if t.Failed() {
			t.Fatalf("trial %d, damage %v", trial, hurt)
		}
	}
	if gone < *damages {
		t.Errorf("%d folders lost %d records: the test does no damage", *damages, gone)
	}
}

// FuzzScan reads foreign bytes as a segment: what it takes for a record encodes to the same bytes
// again.
func FuzzScan(f *testing.F) {
	good := appendRecord(nil, &Record{Seq: 7, QoS: 1, Topic: "a/b", Payload: []byte("x"), Lost: Loss{1, 2, 3}},
		crcSeed(1))
	f.Add(good, uint64(1))
	f.Add(append(make([]byte, 16), good...), uint64(1))
	f.Add(good[:len(good)-9], uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, n uint64) {
		end, _ := scan(b, Async, n, func(at int64, r *Record) {
			if len(r.Payload) > maxBody || len(r.Topic) > maxTopic {
				t.Fatalf("record of %d bytes", len(r.Payload))
			}
		})
		if end > int64(len(b))+align {
			t.Fatalf("end %d of %d", end, len(b))
		}
	})
}

// FuzzSlots reads foreign bytes as the two small files.
func FuzzSlots(f *testing.F) {
	files := newMemFS()
	open(f, small(files))
	f.Add(files.files["spool/stream"].now)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range []string{"spool/stream", "spool/cursor"} {
			m := newMemFS()
			m.files[name] = &inode{now: slices.Clone(b)}
			s, err := Open("spool", Options{FS: m, segment: 16 << 10})
			if err != nil {
				t.Fatal(err)
			}
			if len(s.StreamID()) == 0 || s.acked > s.seq {
				t.Fatalf("stream %q, acknowledged %d of %d", s.StreamID(), s.acked, s.seq)
			}
		}
	})
}
