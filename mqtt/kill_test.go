package mqtt

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/vggse/vggse-agent/model"
)

var cycles = flag.Int("cycles", 30, "kills of TestKillCycles")

// helperSpool, set beside helperBroker, is the spool of the small agent, which then tells on its standard
// output of every record that is safe; with helperDrain it publishes nothing and ends when nothing waits.
const (
	helperSpool = "MQTT_TEST_HELPER_SPOOL"
	helperDrain = "MQTT_TEST_HELPER_DRAIN"
)

// spooler publishes as fast as it is told to be safe, and is going to be killed.
func spooler(broker, dir string) int {
	cfg := testConfig(broker)
	cfg.Publish = Policy{Every: true}
	cfg.Spool = SpoolConfig{Dir: dir, Bytes: 64 << 20}
	link, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
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
	out := bufio.NewWriter(os.Stdout)
	d := decision("cam01")
	var waiting []uint64
	for {
		d.Frame++
		d.Time, d.Changed = time.Now(), d.Frame%3 == 0
		link.Publish(ctx, d)
		seq := link.out.spool.Last()
		if d.Changed { // an event and a result
			waiting = append(waiting, seq-1)
		}
		waiting = append(waiting, seq)
		unsafe := waiting[:0]
		for _, seq := range waiting {
			if link.out.spool.Safe(seq) {
				fmt.Fprintln(out, seq)
			} else {
				unsafe = append(unsafe, seq)
			}
		}
		waiting = unsafe
		out.Flush()
		time.Sleep(time.Millisecond)
	}
}

// recorder is a broker in this process that remembers every record, in the order of arrival.
type recorder struct {
	mochi.HookBase
	mu       sync.Mutex
	seqs     []uint64
	events   []string // queue_dropped
	payloads map[uint64]string
	wrong    []string
}

func (*recorder) ID() string { return "recorder" }

func (*recorder) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck || b == mochi.OnPublish
}

func (*recorder) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*recorder) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

func (r *recorder) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	var m struct {
		Seq  uint64 `json:"seq"`
		Kind string `json:"event_type"`
	}
	if json.Unmarshal(p.Payload, &m) != nil || m.Seq == 0 {
		return p, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	same, _, _ := strings.Cut(string(p.Payload), `,"redelivered":`)
	if before, ok := r.payloads[m.Seq]; ok && before != same {
		r.wrong = append(r.wrong, same)
	}
	r.payloads[m.Seq] = same
	r.seqs = append(r.seqs, m.Seq)
	if m.Kind == "queue_dropped" {
		r.events = append(r.events, string(p.Payload))
	}
	return p, nil
}

func startRecorder(t *testing.T) (*recorder, string) {
	t.Helper()
	r := &recorder{payloads: make(map[uint64]string)}
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = brokerPacket
	server := mochi.New(&mochi.Options{Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.AddHook(r, nil); err != nil {
		t.Fatal(err)
	}
	if err := server.AddListener(listeners.NewNet("t", l)); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return r, l.Addr().String()
}

// The agent is killed again and again, its link cut in a third of its lives: every record that it called
// safe arrives, none comes for the first time after a later one, repetitions stay within the window of
// each life, and every gap is told.
func TestKillCycles(t *testing.T) {
	r, addr := startRecorder(t)
	way := startProxy(t, addr)
	dir := t.TempDir() + "/spool"
	safe := make(map[uint64]bool)
	random := rand.New(rand.NewPCG(1, 1))
	start := func(drain string) (*exec.Cmd, chan struct{}) {
		agent := exec.Command(os.Args[0])
		agent.Env = append(os.Environ(), helperBroker+"="+way.url(), helperSpool+"="+dir, helperDrain+"="+drain)
		agent.Stderr = os.Stderr
		out, err := agent.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			for lines := bufio.NewScanner(out); lines.Scan(); {
				var seq uint64
				if n, _ := fmt.Sscan(lines.Text(), &seq); n == 1 {
					safe[seq] = true
				}
			}
		}()
		return agent, read
	}
	for cycle := range *cycles {
		way.set(cycle%6 == 5) // no link at all in every sixth life
		agent, read := start("")
		time.Sleep(time.Duration(50+random.IntN(200)) * time.Millisecond)
		if cycle%3 == 2 {
			way.set(true)
			time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
			if random.IntN(2) == 0 {
				way.set(false)
				time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
			}
		}
		agent.Process.Kill()
		<-read
		agent.Wait()
	}
	way.set(false)
	agent, read := start("yes")
	<-read
	if err := agent.Wait(); err != nil {
		t.Fatalf("the last one does not end: %v", err)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	arrived := make(map[uint64]bool)
	last, repeated := uint64(0), 0
	for _, seq := range r.seqs {
		switch {
		case arrived[seq]:
			repeated++
		case seq < last:
			t.Errorf("%d came for the first time after %d", seq, last)
		}
		arrived[seq] = true
		last = max(last, seq)
	}
	missing := 0
	for seq := range safe {
		if !arrived[seq] {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d safe records never came", missing, len(safe))
	}
	if len(r.wrong) > 0 {
		t.Errorf("%d records came with another payload: %s", len(r.wrong), r.wrong[0])
	}
	if repeated > window**cycles {
		t.Errorf("%d repetitions in %d lives", repeated, *cycles)
	}
	if len(safe) < 10**cycles {
		t.Errorf("only %d records were safe: the test does not test", len(safe))
	}
	if n := untold(t, arrived, last, r.events); n > 0 {
		t.Errorf("%d numbers are missing, and nobody tells", n)
	}
	t.Logf("%d lives: %d records arrived, %d were safe, %d missing, %d repeated", *cycles+1, len(arrived), len(safe), missing, repeated)
}

// untold counts the numbers up to last that neither arrived nor lie within what an event tells as lost.
func untold(t *testing.T, arrived map[uint64]bool, last uint64, events []string) (n int) {
	t.Helper()
	type span struct{ from, to uint64 }
	var lost []span
	for _, e := range events {
		lost = append(lost, span{uint64(field[float64](t, e, "from_seq")), uint64(field[float64](t, e, "to_seq"))})
	}
	for seq := uint64(1); seq <= last; seq++ {
		if arrived[seq] {
			continue
		}
		i := slices.IndexFunc(lost, func(l span) bool { return l.from <= seq && seq <= l.to })
		if i < 0 {
			n++
			continue
		}
		for seq < lost[i].to && seq < last && !arrived[seq+1] {
			seq++
		}
	}
	return n
}

// A message that the broker refuses by closing does not stop the others for ever.
func TestRefusedMessage(t *testing.T) {
	r, addr := startRecorder(t)
	way := startProxy(t, addr)
	cfg := testConfig(way.url())
	cfg.Publish = Policy{Every: true}
	told := new(logs)
	l, _ := runLink(t, cfg, slog.New(slog.NewTextHandler(told, nil)))
	d := decision("cam01")
	d.Top = nil
	for i := range 3000 { // larger than the broker's limit
		d.Top = append(d.Top, model.Class{Label: strings.Repeat("x", 300), Index: i})
	}
	if err := l.Publish(t.Context(), d); err == nil {
		t.Error("a record of a megabyte was accepted")
	}
	way.poison([]byte(`"frame_id":666`))
	for frame := range uint64(40) {
		d := decision("cam01")
		d.Frame = frame
		if frame == 10 {
			d.Frame = 666
		}
		if err := l.Publish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 30*time.Second, "all others arrive", func() bool { return l.Waiting() == 0 })
	r.mu.Lock()
	defer r.mu.Unlock()
	got := make(map[uint64]bool)
	for _, seq := range r.seqs {
		got[seq] = true
	}
	for seq := uint64(1); seq <= 40; seq++ {
		if got[seq] == (seq == 11) {
			t.Errorf("record %d arrived: %v", seq, got[seq])
		}
	}
	if len(r.events) != 1 || field[string](t, r.events[0], "reason") != "refused" || field[float64](t, r.events[0], "from_seq") != 11 {
		t.Errorf("events: %v", r.events)
	}
	if !strings.Contains(told.String(), "given up") {
		t.Errorf("the log does not say it: %s", told)
	}
}
