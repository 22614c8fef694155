package spool

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var schedules = flag.Int("schedules", 1000, "power cuts of TestPowerCuts")

// oracle knows what a spool was given and promised.
type oracle struct {
	t       *testing.T
	payload map[uint64][]byte
	safe    map[uint64]bool // promised to outlive a power cut
	got     map[uint64]bool // came at least once
	tells   map[uint64]Loss // what records about losses say
	last    uint64
}

func newOracle(t *testing.T) *oracle {
	return &oracle{t: t, payload: map[uint64][]byte{}, safe: map[uint64]bool{}, got: map[uint64]bool{},
		tells: map[uint64]Loss{}}
}

// append gives the spool a record of random size and class.
func (o *oracle) append(s *Spool, random *rand.Rand) {
	class, size := Class(random.IntN(2)), random.IntN(600)
	seq, err := s.Append(class, "a/b", 1, Loss{}, func(b []byte, seq uint64) []byte {
		b = fmt.Appendf(b, "%s %d ", class, seq)
		for range size {
			b = append(b, byte(seq))
		}
		return b
	})
	if err != nil {
		o.t.Fatal(err)
	}
	if o.payload[seq] != nil {
		o.t.Fatalf("number %d was given twice", seq)
	}
	o.payload[seq] = fmt.Appendf(nil, "%s %d %s", class, seq, bytes.Repeat([]byte{byte(seq)}, size))
	o.last = max(o.last, seq)
}

// promised asks which records the spool calls safe.
func (o *oracle) promised(s *Spool) {
	for seq := range o.payload {
		if seq > s.before && s.Safe(seq) { // of this run
			o.safe[seq] = true
		}
	}
}

// check looks at a record that was taken. One that tells of a loss has its own payload.
func (o *oracle) check(r *Record, after uint64) {
	if r.Lost.Count > 0 {
		o.tells[r.Seq] = r.Lost
		o.payload[r.Seq] = bytes.Clone(r.Payload)
	}
	if want, ok := o.payload[r.Seq]; !ok || !bytes.Equal(r.Payload, want) || r.Topic != "a/b" || r.QoS != 1 {
		o.t.Fatalf("record %d came as %q on %s, want %q", r.Seq, r.Payload, r.Topic, want)
	}
	if r.Seq <= after {
		o.t.Fatalf("%d came after %d", r.Seq, after)
	}
	o.got[r.Seq] = true
}

// tell makes a record of what the spool says is lost, as the link does.
func (o *oracle) tell(s *Spool) (told bool) {
	for reason := range reasons {
		if l := s.Lost(reason); l.Count > 0 {
			seq, err := s.Append(Sync, "a/b", 1, l,
				func(b []byte, _ uint64) []byte { return fmt.Appendf(b, "%s %v", reason, l) })
			if err != nil {
				o.t.Fatal(err)
			}
			o.payload[seq] = fmt.Appendf(nil, "%s %v", reason, l)
			o.tells[seq] = l
			told = true
		}
	}
	return told
}

// complete fails for a gap that was not told, and for a promise that was not kept, told or not,
// unless the disk was full.
func (o *oracle) complete(full bool) {
	var lost []Loss
	for seq, l := range o.tells {
		if o.got[seq] {
			lost = append(lost, l)
		}
	}
	for seq := range o.payload {
		if o.got[seq] {
			continue
		}
		if o.safe[seq] && !full {
			o.t.Fatalf("record %d was safe, and never came", seq)
		}
		told := false
		for _, l := range lost {
			told = told || seq >= l.From && seq <= l.To
		}
		if !told {
			o.t.Fatalf("record %d never came, and nobody was told; lost: %v", seq, lost)
		}
	}
}

// work does random things until the power goes off.
func (o *oracle) work(s *Spool, random *rand.Rand, steps int, off func() bool) {
	var r Record
	var flights []uint64
	var last uint64
	for range steps {
		switch random.IntN(10) {
		case 0, 1, 2, 3, 4:
			o.append(s, random)
		case 5:
			s.diskMu.Lock()
			s.load()
			if s.flush(random.IntN(2) == 0) == nil {
				s.settle()
			}
			s.diskMu.Unlock()
			if off() {
				return
			}
			o.promised(s)
		case 6, 7:
			if s.split == 0 && s.Take(&r) {
				o.check(&r, last)
				last = r.Seq
				flights = append(flights, r.Seq)
			}
			o.tell(s)
		case 8:
			if len(flights) > 0 {
				s.Ack(flights[0])
				flights = flights[1:]
			}
		case 9:
			if random.IntN(8) == 0 {
				s.Connect()
				flights, last = nil, 0
			}
		}
		if off() {
			return
		}
	}
}

// drain takes and acknowledges all that is there.
func (o *oracle) drain(s *Spool) {
	s.Connect()
	var r Record
	last, lastLive := uint64(0), uint64(0)
	for s.Take(&r) || o.tell(s) || s.split != 0 {
		if r.Seq == 0 {
			continue
		}
		if s.split != 0 && r.Seq > s.split {
			o.check(&r, lastLive)
			lastLive = r.Seq
		} else {
			o.check(&r, last)
			last = r.Seq
		}
		s.Ack(r.Seq)
		o.tell(s)
		r.Seq = 0
	}
}

// The power is cut at every kind of write, sync and rename, again and again in the life of one
// folder: whatever was called safe comes, as it was, in order, and every gap is told.
func TestPowerCuts(t *testing.T) {
	cuts := *schedules
	total := map[string]int{}
	for seed := uint64(1); cuts > 0; seed++ {
		random := rand.New(rand.NewPCG(seed, 7))
		files := newMemFS()
		o := newOracle(t)
		for range 4 {
			at, dead := random.IntN(60)+1, false
			files.ops = 0
			files.fault = func(op string, n int) error {
				if dead || n == at {
					if !dead {
						total[op]++
					}
					dead = true
					return errCrashed
				}
				return nil
			}
			s, err := Open("spool", Options{FS: files, segment: 8 << 10, Bytes: 1 << 20})
			if err != nil && !dead {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err == nil && s.State().Err == nil { // else the numbers are those of another stream
				o.work(s, random, 400, func() bool { return dead })
			}
			cuts--
			files = files.crash(random)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		s, err := Open("spool", Options{FS: files, segment: 8 << 10, Bytes: 1 << 20})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		o.drain(s)
		o.complete(false)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for _, op := range []string{"write", "sync", "rename", "syncdir", "create"} {
		if total[op] == 0 {
			t.Errorf("the power was never cut at a %s: %v", op, total)
		}
	}
}
