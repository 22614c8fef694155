package mqtt

import (
	"bufio"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/internal/racetest"
)

var cycles = flag.Int("cycles", map[bool]int{false: 1000, true: 100}[racetest.Enabled], "lives of TestKillCycles")

// helperSpool, set beside helperBroker, is the spool of the small agent, which then tells on its
// standard output of every record that is safe; with helperDrain it publishes nothing and ends when
// nothing waits.
const (
	helperSpool = "MQTT_TEST_HELPER_SPOOL"
	helperDrain = "MQTT_TEST_HELPER_DRAIN"
)

// spooler publishes as fast as it is told to be safe, and is going to be killed.
func spooler(broker, dir string) int {
	cfg := baseConfig(broker)
	cfg.Publish = Policy{Every: true}
	cfg.Spool = SpoolConfig{Dir: dir, Bytes: 64 << 20}
	link, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	link.retry = 50 * time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- link.Run(ctx) }()
	if os.Getenv(helperDrain) != "" {
		for quietSince := time.Now(); time.Since(quietSince) < time.Second; time.Sleep(10 * time.Millisecond) {
			if !link.Connected() || link.Waiting() > 0 {
				quietSince = time.Now()
			}
		}
		stop()
		if err := <-done; err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	tellSafe(ctx, link)
	return 0
}

// tellSafe publishes results and events, and prints "number frame" of each as soon as it is safe;
// the frame of an event is -1. It does not return.
func tellSafe(ctx context.Context, link *Link) {
	type issued struct {
		seq   uint64
		frame int64
	}
	out := bufio.NewWriter(os.Stdout)
	d := decision("cam01")
	var waiting []issued
	for {
		d.Frame++
		d.Time, d.Changed = time.Now(), d.Frame%3 == 0
		before := link.out.spool.Last()
		link.Publish(ctx, d)
		// more: the link told of a loss meanwhile, and which is whose is not known
		switch seq := link.out.spool.Last(); {
		case d.Changed && seq == before+2:
			waiting = append(waiting, issued{seq - 1, -1}, issued{seq, int64(d.Frame)})
		case !d.Changed && seq == before+1:
			waiting = append(waiting, issued{seq, int64(d.Frame)})
		}
		unsafe := waiting[:0]
		for _, i := range waiting {
			if link.out.spool.Safe(i.seq) {
				fmt.Fprintln(out, i.seq, i.frame)
			} else {
				unsafe = append(unsafe, i)
			}
		}
		waiting = unsafe
		out.Flush()
		time.Sleep(time.Millisecond)
	}
}

// child is the test binary in a process of its own; read gets its output and is done when it ends.
func child(t *testing.T, read func(io.Reader), env ...string) (cmd *exec.Cmd, done chan struct{}) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done = make(chan struct{})
	go func() { defer close(done); read(out) }()
	return cmd, done
}

// killing is one agent, its broker and the way between them, killed and cut again and again.
type killing struct {
	t      *testing.T
	dir    string
	addr   string
	way    *proxy
	broker *exec.Cmd
	random *rand.Rand
	safe   map[uint64]int64 // number of a safe record: its frame
	losses int              // times that a connection may have been lost
}

// start runs the broker, and returns when it listens.
func (k *killing) start() {
	ready := make(chan struct{})
	k.broker, _ = child(k.t, func(out io.Reader) { bufio.NewReader(out).ReadString('\n'); close(ready) },
		helperBroker+"="+k.addr, helperArrivals+"="+k.dir+"/arrivals")
	<-ready
}

func (k *killing) stop() {
	k.broker.Process.Kill()
	k.broker.Wait()
}

// agent starts it; first closes when it has told of a number of safe records, from 1 to 40.
func (k *killing) agent(drain string) (cmd *exec.Cmd, first, done chan struct{}) {
	first = make(chan struct{})
	left := 1 + k.random.IntN(40)
	once := sync.OnceFunc(func() { close(first) })
	cmd, done = child(k.t, func(out io.Reader) {
		defer once()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var seq uint64
			var frame int64
			if n, _ := fmt.Sscan(lines.Text(), &seq, &frame); n == 2 {
				k.safe[seq] = frame
			}
			if left--; left == 0 {
				once()
			}
		}
	}, helperBroker+"="+k.way.url(), helperSpool+"="+k.dir+"/spool", helperDrain+"="+drain)
	return cmd, first, done
}

func (k *killing) nap(most int) { time.Sleep(time.Duration(k.random.IntN(most)) * time.Millisecond) }

// life is one: in a third of them the way is cut, in another third the broker dies, and at its end
// the agent.
func (k *killing) life(n int) {
	k.way.set(n%9 == 8) // no way at all from the start, in every ninth
	agent, first, done := k.agent("")
	<-first
	k.nap(60)
	k.losses++
	switch n % 3 {
	case 1:
		k.stop()
		k.nap(30)
		k.start()
		k.nap(60)
		k.losses++
	case 2:
		k.way.set(true)
		k.nap(60)
		k.way.set(k.random.IntN(2) == 0)
		k.nap(60)
		k.losses++
	}
	agent.Process.Kill()
	<-done
	agent.Wait()
}

// judge looks at what arrived over all lives.
func (k *killing) judge() (arrived, repeated int) {
	all := readArrivals(k.t, k.dir+"/arrivals")
	got := make(map[uint64]arrival)
	last := uint64(0)
	before := map[bool]uint64{} // a long backlog and what is new go side by side, each in its order
	for _, a := range all {
		if first, again := got[a.seq]; again {
			repeated++
			if first.sum != a.sum {
				k.t.Errorf("record %d came again with another payload", a.seq)
			}
			continue
		}
		if a.seq < before[a.late] {
			k.t.Errorf("%d came for the first time after %d, late: %v", a.seq, before[a.late], a.late)
		}
		got[a.seq], before[a.late], last = a, a.seq, max(last, a.seq)
	}
	missing := 0
	for seq, frame := range k.safe {
		switch a, ok := got[seq]; {
		case !ok:
			missing++
		case a.result != frame:
			k.t.Errorf("record %d is of frame %d, was of %d", seq, a.result, frame)
		}
	}
	if missing > 0 {
		k.t.Errorf("%d of %d safe records never came", missing, len(k.safe))
	}
	if n := untold(k.t, got, last, eventsOf(all)); n > 0 {
		k.t.Errorf("%d numbers are missing, and nobody tells", n)
	}
	return len(got), repeated
}

func readArrivals(t *testing.T, path string) (all []arrival) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var a arrival
		n, _ := fmt.Sscan(lines.Text(), &a.seq, &a.late, &a.result, &a.sum, &a.after)
		if n != 5 {
			continue // the kill fell into the write: not acknowledged either
		}
		if i := slices.Index(lines.Bytes(), '{'); i >= 0 {
			a.event = lines.Text()[i:]
		}
		all = append(all, a)
	}
	return all
}

// Agent and broker are killed again and again, and the way between them is cut: every record that
// the agent called safe arrives, as it was; none comes for the first time after a later one of its
// lane; repetitions stay within a window for each life; and every gap in the numbers is told.
func TestKillCycles(t *testing.T) {
	const lanes = 4 // most of a life is waiting
	var lives, arrived, safe, repeated atomic.Int64
	t.Run("lanes", func(t *testing.T) {
		for lane := range lanes {
			t.Run(strconv.Itoa(lane), func(t *testing.T) {
				t.Parallel()
				k := &killing{
					t: t, dir: t.TempDir(), addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t))),
					random: rand.New(rand.NewPCG(uint64(lane), 1)), safe: make(map[uint64]int64),
				}
				k.way = startProxy(t, k.addr)
				k.start()
				t.Cleanup(k.stop)
				n := (*cycles + lanes - 1) / lanes
				for life := range n {
					k.life(life)
				}
				k.way.set(false)
				agent, _, done := k.agent("yes")
				<-done
				if err := agent.Wait(); err != nil {
					t.Fatalf("the last one does not end: %v", err)
				}
				a, r := k.judge()
				if r > window*n {
					t.Errorf("%d repetitions in %d lives", r, n)
				}
				lives.Add(int64(n))
				arrived.Add(int64(a))
				safe.Add(int64(len(k.safe)))
				repeated.Add(int64(r))
			})
		}
	})
	if safe.Load() < 10*lives.Load() {
		t.Errorf("only %d records were safe: the test does not test", safe.Load())
	}
	t.Logf("%d lives: %d records arrived, %d were safe, none of those missing; %d repetitions", lives.Load(),
		arrived.Load(), safe.Load(), repeated.Load())
}

// untold counts the numbers up to last that neither arrived nor lie within what an event tells as
// lost. A life that is killed leaves a million of those.
func untold(t *testing.T, arrived map[uint64]arrival, last uint64, events []string) (n uint64) {
	t.Helper()
	type span struct{ from, to uint64 }
	var lost []span
	for _, e := range events {
		lost = append(lost, span{uint64(field[float64](t, e, "from_seq")), uint64(field[float64](t, e, "to_seq"))})
	}
	slices.SortFunc(lost, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	next := uint64(1)
	for _, seq := range append(slices.Sorted(maps.Keys(arrived)), last+1) {
		for _, l := range lost {
			if next < seq && l.from < seq && l.to >= next {
				n += max(l.from, next) - next
				next = l.to + 1
			}
		}
		if next < seq {
			n += seq - next
		}
		next = max(next, seq+1)
	}
	return n
}

func TestUntold(t *testing.T) {
	lost := func(from, to int) string { return fmt.Sprintf(`{"from_seq":%d,"to_seq":%d}`, from, to) }
	for _, c := range []struct {
		arrived []uint64
		last    uint64
		events  []string
		want    uint64
	}{
		{[]uint64{1, 2, 3}, 3, nil, 0},
		{[]uint64{2, 5}, 7, nil, 5},
		{[]uint64{1, 1 << 30}, 1 << 30, []string{lost(2, 1<<30-1)}, 0},
		{[]uint64{1, 10}, 10, []string{lost(6, 7), lost(2, 3)}, 4},
		{[]uint64{3, 4, 10}, 12, []string{lost(1, 11), lost(2, 5)}, 1},
	} {
		arrived := map[uint64]arrival{}
		for _, seq := range c.arrived {
			arrived[seq] = arrival{seq: seq}
		}
		if got := untold(t, arrived, c.last, c.events); got != c.want {
			t.Errorf("%v of %d, %v: %d untold, want %d", c.arrived, c.last, c.events, got, c.want)
		}
	}
}
