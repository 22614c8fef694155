package mqtt

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/internal/racetest"
	"github.com/vggse/vggse-agent/mqtt/spool"
)

// whole is set by make soak: the tests take their full size, and hold figures that depend on the
// machine against their bars.
var whole = flag.Bool("whole", false, "outages, reconnects and attacks of full size")

// size is n in make soak, and few in make test.
func size(n, few int) int {
	if *whole {
		return n
	}
	return few
}

// peak watches the resident memory of this process until stop, which returns the most that was
// seen.
func peak() (stop func() int64) {
	var most atomic.Int64
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			most.Store(max(most.Load(), residentNow()))
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	return func() int64 { close(done); wait.Wait(); return most.Load() }
}

func residentNow() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// filesOf is how many bytes the files below dir take.
func filesOf(t *testing.T, dir string) (sum int64) {
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// M5: three days without a broker at one record a second, 259,200 of them, given as fast as the
// disk takes them. They fit into 256 MiB, memory stays, none is lost; when the broker is there they
// drain while new ones overtake.
func TestOutage(t *testing.T) {
	records, dir := size(259_200, 12_000), t.TempDir()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	cfg := baseConfig("tcp://" + addr)
	cfg.Publish, cfg.Spool = Policy{Every: true}, SpoolConfig{Dir: dir + "/spool", Bytes: spool.DefaultBytes}
	runtime.GC()
	l, _ := runLink(t, cfg, quiet())
	before, stop := rss(t), peak()
	d, ctx := decision("cam01"), context.Background()
	publish := func() {
		d.Frame++
		d.Time = time.Now()
		if err := l.Publish(ctx, d); err != nil {
			t.Error(err)
		}
	}
	for n := range records {
		if publish(); n > 4000 && n%50 == 0 { // no faster than the disk: memory holds 8192
			eventually(t, hang, "earlier records are on disk",
				func() bool { return l.out.spool.Safe(uint64(n - 4000)) })
		}
	}
	eventually(t, hang, "all are on disk", func() bool { return l.out.spool.Safe(uint64(records)) })
	disk, grown := filesOf(t, dir), stop()-before

	ready := make(chan struct{})
	broker, _ := child(t, func(out io.Reader) { bufio.NewReader(out).ReadString('\n'); close(ready) },
		helperBroker+"="+addr, helperArrivals+"="+dir+"/arrivals")
	defer func() { broker.Process.Kill(); broker.Wait() }()
	<-ready
	stop = peak()
	eventually(t, hang, "connected", l.Connected)
	began, last := time.Now(), 0
	for ; l.Waiting() > 0 || last < 20; last++ { // what comes meanwhile does not wait behind what waited
		publish()
		time.Sleep(20 * time.Millisecond)
		if time.Since(began) > 20*time.Minute {
			t.Fatalf("%d records still wait", l.Waiting())
		}
	}
	rate := float64(records) / time.Since(began).Seconds()
	grown = max(grown, stop()-before)
	seen := make(map[uint64]bool)
	var live []time.Duration
	for _, a := range readArrivals(t, dir+"/arrivals") {
		if seen[a.seq] = true; !a.late {
			live = append(live, a.after)
		}
	}
	slices.Sort(live)
	if len(live) == 0 || len(seen) != records+last || l.Queue().Dropped != 0 {
		t.Fatalf("%d of %d records came, %d of them at once, %d are told as lost", len(seen), records+last, len(live),
			l.Queue().Dropped)
	}
	p99 := live[len(live)*99/100]
	t.Logf("%d records: %.1f MiB on disk (%d B each), RSS + %.1f MiB at most; drained at %.0f/s while %d new ones "+
		"came after %s (p99)",
		records, float64(disk)/(1<<20), disk/int64(records), float64(grown)/(1<<20), rate, len(live),
		p99.Round(100*time.Microsecond))
	if disk > spool.DefaultBytes || grown > 64<<20 && !racetest.Enabled {
		t.Errorf("%d bytes on disk, RSS + %d", disk, grown)
	}
	if *whole && (rate < 500 || p99 > time.Second) {
		t.Errorf("drained at %.0f/s, live p99 %s; want 500/s and 1 s", rate, p99)
	}
}

// M7: after a thousand lost connections there is not one goroutine, descriptor or megabyte more.
func TestReconnects(t *testing.T) {
	_, addr := startRecorder(t)
	way := startProxy(t, addr)
	cfg := baseConfig(way.url())
	cfg.Publish = Policy{Every: true}
	l, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, n := context.Background(), 0
	for range spool.MemoryRecords { // the memory that records wait in is bounded, and grown once
		l.Publish(ctx, decision("cam01"))
	}
	stop := start(t, l)
	cycle := func() {
		eventually(t, hang, "connected", l.Connected)
		l.Publish(ctx, decision("cam01"))
		eventually(t, hang, "acknowledged", func() bool { return l.Waiting() == 0 })
		way.set(true)
		eventually(t, hang, "loss noticed", func() bool { return !l.Connected() })
		way.set(false)
		n++
	}
	type held struct {
		goroutines, files int
		heap              uint64
	}
	count := func() (h held) {
		eventually(t, hang, "connected", l.Connected)
		var m runtime.MemStats
		for range 20 { // the broker's side of the last connection takes a moment to end
			time.Sleep(50 * time.Millisecond)
			runtime.GC()
			runtime.ReadMemStats(&m)
			names, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Skip("no /proc")
			}
			now := held{runtime.NumGoroutine(), len(names), m.HeapAlloc}
			if h.goroutines == 0 || now.goroutines < h.goroutines {
				h = now
			}
			h.heap, h.files = min(h.heap, now.heap), min(h.files, now.files)
		}
		return h
	}
	for range 20 {
		cycle()
	}
	before := count()
	for range size(1000, 40) {
		cycle()
	}
	grown := func(after held) bool {
		return after.goroutines > before.goroutines || after.files > before.files || after.heap > before.heap+1<<20
	}
	after := count()
	for end := time.Now().Add(hang); grown(after) && time.Now().Before(end); { // a busy machine tidies up late
		after = count()
	}
	stop()
	t.Logf("%d connections lost: goroutines %+d, descriptors %+d, heap %+d KiB", n-20,
		after.goroutines-before.goroutines, after.files-before.files, (int64(after.heap)-int64(before.heap))>>10)
	if grown(after) {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// M6: many devices have lost one broker, a real one; when it is back they come back, each at its
// own moment. TestBackoff has the median, of many more.
func TestBrokerBack(t *testing.T) {
	m := startMosquitto(t)
	links := make([]*Link, size(100, 4))
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for i := range links {
		id := testIdentity()
		id.Device = fmt.Sprintf("edge%02d", i)
		l, err := NewLink(baseConfig(m.url()), id, quiet())
		if err != nil {
			t.Fatal(err)
		}
		links[i] = l
		wait.Go(func() { l.Run(ctx) })
	}
	defer wait.Wait()
	defer cancel()
	for _, l := range links {
		eventually(t, hang, "connected", l.Connected)
	}
	m.kill()
	time.Sleep(time.Duration(size(60, 3)) * time.Second)
	m.start()
	began, took := time.Now(), make([]time.Duration, 0, len(links))
	back := make([]bool, len(links))
	eventually(t, hang, "all are back", func() bool {
		for i, l := range links {
			if !back[i] && l.Connected() {
				back[i] = true
				took = append(took, time.Since(began))
			}
		}
		return len(took) == len(links)
	})
	t.Logf("%d links after %d s: p50 %s, last %s", len(links), size(60, 3),
		took[len(took)/2].Round(10*time.Millisecond), took[len(took)-1].Round(10*time.Millisecond))
	if *whole && took[len(took)-1] > 20*time.Second {
		t.Errorf("the last one took %s", took[len(took)-1])
	}
}
