package spool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// small are the options of most tests.
func small(files *memFS) Options { return Options{FS: files, segment: 8 << 10, Bytes: 64 << 10} }

func open(t testing.TB, o Options) *Spool {
	t.Helper()
	s, err := Open("spool", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// give appends n records of a class with 100 bytes each.
func give(t testing.TB, s *Spool, class Class, n int) (last uint64) {
	t.Helper()
	for range n {
		var err error
		if last, err = s.Append(class, "t", 1, Loss{},
			func(b []byte, seq uint64) []byte { return fmt.Appendf(b, "%0100d", seq) }); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// force writes everything now, whatever the age and whenever the disk was last tried.
func force(s *Spool) {
	s.diskMu.Lock()
	defer s.diskMu.Unlock()
	s.load()
	if err := s.flush(true); err != nil {
		s.fail(err)
		return
	}
	s.settle()
}

// takeAll takes and acknowledges what there is, and returns the numbers.
func takeAll(t testing.TB, s *Spool) (seqs []uint64) {
	t.Helper()
	var r Record
	for s.Take(&r) {
		if want := fmt.Sprintf("%0100d", r.Seq); string(r.Payload) != want {
			t.Fatalf("record %d is %q", r.Seq, r.Payload)
		}
		seqs = append(seqs, r.Seq)
		s.Ack(r.Seq)
	}
	return seqs
}

// What is acknowledged in time is never written; what is not, is.
func TestNoBytesWhileAcknowledged(t *testing.T) {
	files := newMemFS()
	s := open(t, small(files))
	s.Connect()
	ops := files.ops
	var r Record
	for range 1000 {
		give(t, s, Async, 1)
		give(t, s, Sync, 1)
		for s.Take(&r) {
			s.Ack(r.Seq)
		}
		s.Flush()
	}
	if files.ops != ops {
		t.Errorf("%d operations on the disk", files.ops-ops)
	}
	began := time.Now()
	async, sync := give(t, s, Async, 1), give(t, s, Sync, 1)
	for end := time.Now().Add(time.Minute); !s.Safe(sync); s.Flush() {
		if time.Now().After(end) {
			t.Fatal("the record of class sync is not written")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if safe := s.Safe(async); safe && time.Since(began) < AsyncAfter {
		t.Error("the record of class async was written before its time")
	}
	for end := time.Now().Add(time.Minute); !s.Safe(async); s.Flush() {
		if time.Now().After(end) {
			t.Fatal("the record of class async is not written")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// What an earlier run has left counts as waiting as soon as there is a connection, before anything
// was accepted or written.
func TestWaitingAfterRestart(t *testing.T) {
	files := newMemFS()
	s := open(t, small(files))
	give(t, s, Sync, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, small(files))
	s.Connect()
	if n := s.Waiting(); n != 10 {
		t.Errorf("%d wait, want 10", n)
	}
	takeAll(t, s)
	if n := s.Waiting(); n != 0 {
		t.Errorf("%d wait when all are acknowledged", n)
	}
}

// A clean stop loses nothing, repeats nothing and skips no number.
func TestCleanStop(t *testing.T) {
	files := newMemFS()
	s := open(t, small(files))
	id := s.StreamID()
	s.Connect()
	give(t, s, Async, 10)
	var r Record
	for range 4 {
		s.Take(&r)
		s.Ack(r.Seq)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, small(files.clone()))
	if s.StreamID() != id {
		t.Error("another stream")
	}
	if got := give(t, s, Sync, 1); got != 11 {
		t.Errorf("the next number is %d", got)
	}
	s.Connect()
	if got := fmt.Sprint(takeAll(t, s)); got != "[5 6 7 8 9 10 11]" {
		t.Errorf("came %s", got)
	}
	for reason := range reasons {
		if l := s.Lost(reason); l.Count > 0 {
			t.Errorf("%s: %+v", reason, l)
		}
	}
}

// A cursor file that somebody took away is damage, and no full disk: what it knew to be acknowledged
// is told as damaged.
func TestCursorGone(t *testing.T) {
	files := newMemFS()
	s := open(t, small(files))
	s.Connect()
	give(t, s, Async, 10)
	takeAll(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files = files.clone()
	delete(files.files, "spool/cursor")
	delete(files.durable, "spool/cursor")
	s = open(t, small(files))
	s.Connect()
	takeAll(t, s)
	if got, want := s.Lost(Damaged), (Loss{10, 1, 10}); got != want {
		t.Errorf("damaged: got %+v, want %+v", got, want)
	}
	if got := s.Lost(Full); got.Count > 0 {
		t.Errorf("told as full: %+v", got)
	}
}

// The bounds hold; async records make room for sync ones, the oldest first, counted exactly.
func TestBounds(t *testing.T) {
	files := newMemFS()
	s := open(t, small(files)) // 8 segments of about 60 records
	want := map[uint64]bool{}
	for range 20 {
		last := give(t, s, Sync, 10)
		for i := range uint64(10) {
			want[last-i] = true
		}
		give(t, s, Async, 100)
		force(s)
		if n := len(files.segments()); n > 8 {
			t.Fatalf("%d segments", n)
		}
	}
	s = open(t, small(files.clone())) // memory forgets
	s.Connect()
	got := takeAll(t, s)
	seen := map[uint64]bool{}
	for _, seq := range got {
		seen[seq] = true
	}
	for seq := range want {
		if !seen[seq] {
			t.Errorf("sync record %d is lost", seq)
		}
	}
	if len(got) < 400 {
		t.Errorf("only %d records came", len(got))
	}
}

// Dropped records are counted exactly, while the run goes on.
func TestFullIsCounted(t *testing.T) {
	s := open(t, small(newMemFS()))
	const n = 3 * MemoryRecords
	for range n / 100 {
		give(t, s, Async, 100)
		force(s)
	}
	given := uint64(n / 100 * 100)
	s.Connect()
	got := uint64(len(takeAll(t, s))) + uint64(len(takeAll(t, s)))
	lost := s.Lost(Full)
	if got+lost.Count != given || lost.Count == 0 {
		t.Errorf("%d came, %d lost (%+v), %d given", got, lost.Count, lost, given)
	}
}

// Without a disk memory is bounded too: async records go first.
func TestMemory(t *testing.T) {
	s := Memory(NewID())
	give(t, s, Sync, 100)
	give(t, s, Async, 2*MemoryRecords)
	s.Connect()
	got := takeAll(t, s)
	got = append(got, takeAll(t, s)...)
	if len(got) != 100+MemoryRecords || got[0] != 1 || got[100] != MemoryRecords+101 {
		t.Errorf("%d records came, from %d, %d", len(got), got[0], got[100])
	}
	if l := s.Lost(Full); l != (Loss{MemoryRecords, 101, MemoryRecords + 100}) {
		t.Errorf("lost %+v", l)
	}
}

// Memory holds what waits, not what was acknowledged: the ring stays small, and an outage's room is
// given back.
func TestAcknowledgedLeavesMemory(t *testing.T) {
	for what, s := range map[string]*Spool{"in memory": Memory(NewID()), "on disk": open(t, small(newMemFS()))} {
		s.Connect()
		for range 1000 {
			s.Ack(give(t, s, Async, 3))
		}
		if n := len(s.ring.entries); n != firstSlots {
			t.Errorf("%s: room for %d records, want %d", what, n, firstSlots)
		}
		last := give(t, s, Async, MemoryRecords) // an outage
		if n := len(s.ring.entries); n != MemoryRecords {
			t.Errorf("%s: room for %d records in an outage, want %d", what, n, MemoryRecords)
		}
		s.Ack(last)
		give(t, s, Async, 1)
		if n, waiting := len(s.ring.entries), s.Waiting(); n != firstSlots || waiting != 1 {
			t.Errorf("%s: after the outage room for %d records, %d waiting, want %d and 1", what, n, waiting,
				firstSlots)
		}
	}
}

// M9: every kind of failure at every operation: the spool goes on in memory within one Flush, comes
// back by itself, and keeps its promises.
func TestFailingDisk(t *testing.T) {
	for _, errno := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		at := 1
		for reached := true; reached; at++ {
			reached = false
			for _, times := range []int{1, 5, 1000} {
				files, o := newMemFS(), newOracle(t)
				random := rand.New(rand.NewPCG(uint64(at), 9))
				failed := 0
				files.fault = func(string, int) error {
					if files.ops < at || failed >= times {
						return nil
					}
					failed++
					reached = true
					return errno
				}
				s, err := Open("spool", small(files))
				if err != nil {
					if !errors.Is(err, errno) {
						t.Fatalf("%v", err)
					}
					continue
				}
				for range 20 {
					for range 5 {
						o.append(s, random)
					}
					force(s)
					o.promised(s)
				}
				for range min(times, 5) + 1 { // the last failures may be all ahead
					force(s)
				}
				recovered := s.State().Err == nil
				if times == 1000 && failed > 0 && recovered {
					t.Fatalf("%v at %d: the disk fails, and the spool says it does not", errno, at)
				}
				if times < 1000 && !recovered {
					t.Fatalf("%v at %d, %d times: not recovered: %v", errno, at, times, s.State().Err)
				}
				if times < 1000 {
					files = files.crash(random)
					if s, err = Open("spool", small(files)); err != nil {
						t.Fatal(err)
					}
				}
				o.drain(s)
				o.complete(errno == syscall.ENOSPC)
			}
		}
		t.Logf("%v at each of %d operations", errno, at-2)
	}
}

// A long backlog and what comes now go side by side, each in order, and nothing is sent twice after
// the next loss of the connection.
func TestLanes(t *testing.T) {
	s := Memory(NewID())
	backlog := give(t, s, Async, 2000)
	s.Connect()
	var r Record
	got := map[uint64]int{}
	last, lastLive := uint64(0), backlog
	for range 500 {
		give(t, s, Async, 1)
		for i := range 3 {
			if !s.Take(&r) {
				t.Fatal("nothing to take")
			}
			if i == 0 {
				if r.Seq != lastLive+1 || r.Late {
					t.Fatalf("took %d (late: %v), want %d at once", r.Seq, r.Late, lastLive+1)
				}
				lastLive = r.Seq
			} else {
				if r.Seq != last+1 || !r.Late {
					t.Fatalf("took %d (late: %v), want %d", r.Seq, r.Late, last+1)
				}
				last = r.Seq
			}
			got[r.Seq]++
			s.Ack(r.Seq)
		}
	}
	s.Disconnect()
	s.Connect()
	for _, seq := range append(takeAll(t, s), takeAll(t, s)...) {
		got[seq]++
	}
	for seq := uint64(1); seq <= 2500; seq++ {
		if got[seq] != 1 {
			t.Fatalf("record %d came %d times", seq, got[seq])
		}
	}
	give(t, s, Async, 1)
	if !s.Take(&r) || r.Seq != 2501 || s.split != 0 || s.acked != 2500 {
		t.Errorf("afterwards: took %d, split %d, acknowledged %d", r.Seq, s.split, s.acked)
	}
}

// Two processes cannot have one folder; a file in its place is told.
func TestFolder(t *testing.T) {
	dir := t.TempDir() + "/spool"
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.WriteFile(dir+"2", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir+"2", Options{}); err == nil {
		t.Error("a file was taken for a folder")
	}
}

// Append, Flush, and Take with Ack go side by side, as in the agent: each record comes once, in
// order, and the race detector sees the first segments and the cursor file being made.
func TestSideBySide(t *testing.T) {
	s, err := Open(t.TempDir()+"/spool", Options{segment: 8 << 10, Bytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s.Connect()
	const n = 2000
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := range n {
			give(t, s, Class(i%2), 1)
		}
	})
	stop := make(chan struct{})
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		for {
			select {
			case <-stop:
				return
			default:
				force(s)
			}
		}
	}()
	end := time.Now().Add(time.Minute)
	for next := uint64(1); next <= n && time.Now().Before(end); {
		for _, seq := range takeAll(t, s) {
			if seq != next {
				t.Errorf("record %d came where %d was due", seq, next)
			}
			next = seq + 1
		}
	}
	wait.Wait()
	close(stop)
	<-flushed
	if last, waiting := s.Last(), s.Waiting(); last != n || waiting != 0 {
		t.Errorf("%d were accepted and %d wait, want %d and none", last, waiting, n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A disk that is read-only when the agent starts, or becomes so: what is there is sent, what comes
// is kept in memory, and the disk is used again when it can be, without a restart.
func TestReadOnlyDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("vggse-test", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Skip("mounting needs root: ", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", disk, "", unix.MS_REMOUNT|flags, "size=64m"); err != nil {
			t.Fatal(err)
		}
	}
	for name, prepare := range map[string]func(dir string) int{
		"fresh": func(string) int { return 0 },
		"used": func(dir string) int {
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			give(t, s, Sync, 10)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return 10
		},
	} {
		dir := disk + "/" + name
		before := prepare(dir)
		remount(unix.MS_RDONLY)
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := s.State().Err; !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: the state is %v", name, err)
		}
		s.Connect()
		if got := takeAll(t, s); len(got) != before {
			t.Errorf("%s: %v came of %d", name, got, before)
		}
		last := give(t, s, Sync, 10)
		force(s)
		if s.Safe(last) {
			t.Errorf("%s: safe on a disk that is read-only", name)
		}
		remount(0)
		s.probe = time.Time{}
		for end := time.Now().Add(time.Minute); !s.Safe(last); time.Sleep(SyncAfter) {
			if s.Flush(); time.Now().After(end) {
				t.Fatalf("%s: not on disk: %v", name, s.State().Err)
			}
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
			t.Errorf("%s: a second one: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAppendAllocates(t *testing.T) {
	s := Memory(NewID())
	payload := []byte(strings.Repeat("x", 500))
	encode := func(b []byte, seq uint64) []byte { return append(strconv.AppendUint(b, seq, 10), payload...) }
	for range MemoryRecords + 1 {
		s.Append(Async, "t", 1, Loss{}, encode)
	}
	if n := testing.AllocsPerRun(1000, func() { s.Append(Async, "t", 1, Loss{}, encode) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
	if _, err := s.Append(Async, "t", 1, Loss{},
		func(b []byte, _ uint64) []byte { return append(b, make([]byte, MaxPayload+1)...) }); !errors.Is(err, ErrSize) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkOutage writes records of 500 bytes in groups of 20 to a real disk, into segments that
// were used before. It reports the bytes written for each record as the block device counts them,
// over the middle half of the groups, because others may use the device too.
func BenchmarkOutage(b *testing.B) {
	dir := b.TempDir() + "/spool"
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	payload := []byte(strings.Repeat("x", 451)) // 500 with header and topic
	encode := func(b []byte, _ uint64) []byte { return append(b, payload...) }
	group := func() {
		for range 20 {
			s.Append(Async, "vggse/edge01/cam01/result", 1, Loss{}, encode)
		}
		force(s)
	}
	drain := func() {
		s.Connect()
		var r Record
		for s.Take(&r) || s.split != 0 {
			s.Ack(r.Seq)
		}
		force(s)
		s.Disconnect()
	}
	for range 1000 {
		group()
	}
	drain()
	var written []int64
	for b.Loop() {
		before := deviceBytes(b, dir)
		group()
		written = append(written, deviceBytes(b, dir)-before)
		if len(written)%1000 == 0 {
			b.StopTimer()
			drain()
			b.StartTimer()
		}
	}
	slices.Sort(written)
	middle, sum := written[len(written)/4:len(written)-len(written)/4], int64(0)
	for _, n := range middle {
		sum += n
	}
	b.ReportMetric(float64(sum)/float64(20*len(middle)), "B/record")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(20*len(written)), "µs/record")
}

// deviceBytes is how much was written to the device that holds dir (Documentation/block/stat.rst).
func deviceBytes(b *testing.B, dir string) int64 {
	info, err := os.Stat(dir)
	if err != nil {
		b.Fatal(err)
	}
	device := info.Sys().(*syscall.Stat_t).Dev
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(device), unix.Minor(device)))
	if err != nil {
		b.Skip("no statistics of the device that holds ", dir)
	}
	sectors, err := strconv.ParseInt(strings.Fields(string(text))[6], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return sectors * 512
}
