package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/internal/racetest"
	"github.com/vggse/vggse-agent/mqtt/contract"

	"github.com/vggse/vggse-agent/vision"
)

// clerk is a Handler that remembers what it did.
type clerk struct {
	mu   sync.Mutex
	did  []string
	fail error
	hold chan struct{} // nil: nothing takes time
	link *Link
}

func (c *clerk) do(format string, args ...any) error {
	if c.hold != nil {
		<-c.hold
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return c.fail
	}
	c.did = append(c.did, fmt.Sprintf(format, args...))
	return nil
}

func (c *clerk) done() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.did, "; ")
}

func (c *clerk) Enable(camera string, on bool) error { return c.do("enable %s %t", camera, on) }
func (c *clerk) UnknownBelow(camera string, p float64) error {
	return c.do("unknown below %s %g", camera, p)
}

func (c *clerk) Threshold(camera string, score float64) error {
	return c.do("threshold %s %g", camera, score)
}

func (c *clerk) Thresholds(camera string, own []vision.ClassThreshold) error {
	return c.do("thresholds %s %v", camera, own)
}

func (c *clerk) Command(_ context.Context, m Command) (func(), error) {
	if err := c.do("%s %s%s", m.Name, m.Camera, m.SHA256); err != nil {
		return nil, err
	}
	if m.Name == CommandSnapshot {
		return nil, c.link.Snapshot(m.Camera, []byte("\xff\xd8 a picture \xff\xd9"))
	}
	return func() { c.do("then %s", m.Name) }, nil
}

// pub is a real mosquitto_pub.
func pub(t *testing.T, m *mosquitto, topic, payload string, options ...string) {
	t.Helper()
	args := append([]string{"-h", "127.0.0.1", "-p", fmt.Sprint(m.port), "-q", "1", "-t", "vggse/edge01/" + topic,
		"-m", payload}, options...)
	if out, err := exec.Command(needMosquitto(t, "mosquitto_pub"), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func order(id, name, args string, age time.Duration) string {
	return fmt.Sprintf(`{"id":%q,"name":%q,"args":%s,"ts":%q}`, id, name, args,
		time.Now().Add(-age).UTC().Format(time.RFC3339Nano))
}

// commanded is a link with a clerk, everything allowed, and an ear on the broker.
func commanded(t *testing.T, allow ...string) (*mosquitto, *ears, *Link, *clerk) {
	t.Helper()
	m := startMosquitto(t)
	e := listen(t, m.port)
	cfg := testConfig(m.url())
	cfg.Commands.Allow = allow
	l, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	c := &clerk{link: l}
	l.Handle(c)
	l.Enabled("cam01", true)
	l.Threshold("cam01", 0.6)
	l.dispatcher.work = bucket{rate: 100, burst: 100}
	start(t, l)
	eventually(t, hang, "connected", l.Connected)
	eventually(t, hang, "state", func() bool { return e.last("vggse/edge01/cam01/threshold/state") == "0.6" })
	return m, e, l, c // a link subscribes before it publishes: the broker takes commands now
}

// Each command is answered once: done, failed, too old, not allowed, not understood; a repeated one
// not again.
func TestCommands(t *testing.T) {
	m, e, l, c := commanded(t, CommandSnapshot, CommandReload, CommandModelActivate, CommandRollback)
	sha := strings.Repeat("0a", 32)
	for _, step := range []struct {
		id, name, args  string
		age             time.Duration
		status, message string
	}{
		{"1", "reload", "{}", 0, "ok", ""},
		{"2", "snapshot", `{"camera":"cam01"}`, 0, "ok", ""},
		{"3", "model_activate", `{"sha256":"` + sha + `"}`, 0, "ok", ""},
		{"4", "restart", "{}", 0, "rejected", "mqtt.commands.allow lacks restart"},
		{"5", "reload", "{}", time.Hour, "expired", "ago, for 30s"},
		{"6", "reload", "{}", -time.Hour, "rejected", "future"},
		{"7", "snapshot", `{"camera":"cam99"}`, 0, "rejected", `no camera "cam99"`},
		{"8", "snapshot", `{}`, 0, "rejected", `wants "camera"`},
		{"9", "rm", `{}`, 0, "rejected", "must be one of"},
		{"10", "reload", "{}", 0, "rejected", `unknown key "x"`},
		{"11", "rollback", `{"sha256":"` + sha + `"}`, 0, "rejected", "takes no"},
	} {
		payload := order(step.id, step.name, step.args, step.age)
		if step.id == "10" {
			payload = strings.Replace(payload, `"id"`, `"x":1,"id"`, 1)
		}
		pub(t, m, "command", payload)
		var got string
		eventually(t, hang, "answer to "+step.id, func() bool {
			got = e.last("vggse/edge01/command/response")
			return got != "" && len(e.on("vggse/edge01/command/response")) >= number(step.id)
		})
		if status := field[string](t, got, "status"); status != step.status {
			t.Errorf("%s: got %s", payload, got)
		}
		if step.message != "" && !strings.Contains(field[string](t, got, "message"), step.message) {
			t.Errorf("%s: got %s, want %s", payload, got, step.message)
		}
		if step.id != "10" && field[string](t, got, "id") != step.id { // there the id comes behind what is wrong
			t.Errorf("%s: got %s", payload, got)
		}
	}
	if got := e.last("vggse/edge01/cam01/snapshot"); !strings.Contains(got, "picture") {
		t.Errorf("snapshot: %q", got)
	}
	pub(t, m, "command", order("1", "reload", "{}", 0)) // again
	pub(t, m, "command", order("12", "rollback", "{}", 0), "-r")
	eventually(t, hang, "answer to 12",
		func() bool { return len(e.on("vggse/edge01/command/response")) >= 12 })
	c.mu.Lock()
	c.fail = errors.New("the disk is full")
	c.mu.Unlock()
	pub(t, m, "command", order("13", "rollback", "{}", 0))
	eventually(t, hang, "last answer",
		func() bool { return len(e.on("vggse/edge01/command/response")) >= 13 && l.missed.Load() == 1 })
	eventually(t, hang, "error", func() bool {
		return strings.Contains(e.last("vggse/edge01/command/response"),
			`"status":"error","message":"the disk is full"`)
	})
	if want := "reload ; then reload; snapshot cam01; model_activate " + sha +
		"; then model_activate; rollback ; then rollback"; c.done() != want {
		// one sent with the retain flag to who listens is not a retained one
		t.Errorf("did %s, want %s", c.done(), want)
	}
}

func number(s string) (n int) { fmt.Sscan(s, &n); return n }

// A camera is switched and its threshold set by plain texts; the state says what holds, also after
// nonsense.
func TestSets(t *testing.T) {
	m, e, _, c := commanded(t, "set")
	pub(t, m, "cam01/enabled/set", "OFF")
	pub(t, m, "cam01/threshold/set", "0.85")
	pub(t, m, "cam01/unknown_below/set", "1")
	pub(t, m, "cam01/unknown_below/set", "0.05")
	eventually(t, hang, "states", func() bool {
		return e.last("vggse/edge01/cam01/enabled/state") == "OFF" &&
			e.last("vggse/edge01/cam01/threshold/state") == "0.85"
	})
	n := len(e.on("vggse/edge01/cam01/threshold/state"))
	for _, nonsense := range []string{"1.5", "NaN", "", "0x1p-2"} {
		pub(t, m, "cam01/threshold/set", nonsense)
	}
	pub(t, m, "cam99/enabled/set", "OFF")
	const good = `{"nut":0.25,"a \"b\"":1}`
	pub(t, m, "cam01/thresholds/set", good)
	eventually(t, hang, "thresholds", func() bool {
		return e.last("vggse/edge01/cam01/thresholds/state") == `{"a \"b\"":1,"nut":0.25}`
	})
	for _, nonsense := range []string{`{"nut":1.5}`, `{"nut":null}`, `{"nut":0.1,"nut":0.2}`, `{"":0.5}`, `[]`,
		`{"nut":0.5}x`} {
		if own, ok := decodeThresholds([]byte(nonsense)); ok {
			t.Errorf("%s was read as %v", nonsense, own)
		}
	}
	pub(t, m, "cam01/thresholds/set", `{"nut":2}`)
	eventually(t, hang, "old state again",
		func() bool { return len(e.on("vggse/edge01/cam01/threshold/state")) > n })
	if e.last("vggse/edge01/cam01/threshold/state") != "0.85" {
		t.Error("nonsense was taken")
	}
	want := `enable cam01 false; threshold cam01 0.85; unknown below cam01 0.05; ` +
		`thresholds cam01 [{nut 0.25} {a "b" 1}]`
	if got := c.done(); got != want {
		t.Errorf("did %s", got)
	}
	late := listen(t, m.port)
	eventually(t, hang, "retained",
		func() bool { return late.last("vggse/edge01/cam01/enabled/state") == "OFF" })
}

// While the handler is busy, a few commands wait, the next are told so, and a flood is passed over.
func TestCommandFlood(t *testing.T) {
	l := lonely(t, CommandReload)
	c := &clerk{hold: make(chan struct{})}
	l.Handle(c)
	l.dispatcher.work = bucket{rate: 100, burst: 100}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.dispatcher.run(ctx) }()
	now := time.Now()
	for i := range 1000 {
		l.dispatcher.command(Message{Topic: l.topics.command,
			Payload: []byte(order(fmt.Sprint(i), "reload", "{}", time.Since(now)))}, now)
	}
	if got := l.missed.Load(); got != 1000-20 {
		t.Errorf("%d passed over, want 980", got)
	}
	close(c.hold)
	eventually(t, hang, "every command looked at is answered", func() bool { return l.Waiting() == 20 })
	cancel()
	<-done
	l.dispatcher.seen = map[string]time.Time{}
	l.dispatcher.answers = bucket{rate: 100, burst: 100}
	l.dispatcher.command(Message{Topic: l.topics.command, Payload: []byte(order("late", "reload", "{}",
		time.Since(now)))}, now)
	if l.Waiting() != 21 {
		t.Errorf("%d answers, want one more: the agent is ending", l.Waiting())
	}
	if got := strings.Count(c.done(), "then"); got < waitingCommands || got > waitingCommands+1 {
		t.Errorf("%d were carried out, want the %d that could wait", got, waitingCommands)
	}
}

// What waits for the handler when the link ends is answered too.
func TestCommandsAtTheEnd(t *testing.T) {
	l := lonely(t, CommandReload)
	l.Handle(&clerk{})
	now := time.Now()
	for i := range 4 {
		l.dispatcher.command(Message{Topic: l.topics.command,
			Payload: []byte(order(fmt.Sprint(i), "reload", "{}", time.Since(now)))}, now)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.dispatcher.run(ctx)
	if got := l.Waiting(); got != 4 {
		t.Errorf("%d of 4 commands were answered", got)
	}
	l.out.spool.Connect()
	for p, ok := l.out.take(); ok; p, ok = l.out.take() {
		if p.state == nil && field[string](t, string(p.payload), "status") != "busy" {
			t.Errorf("got %s", p.payload)
		}
	}
}

// lonely is a link without a broker.
func lonely(t testing.TB, allow ...string) *Link {
	cfg := testConfig("tcp://127.0.0.1:1")
	cfg.Commands.Allow = allow
	l, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Nonsense, whatever it is wrong with, takes no answer from a command or a setting that makes
// sense.
func TestNonsenseStarvesNobody(t *testing.T) {
	now := time.Now()
	for name, nonsense := range map[string]func(i int) string{
		"no JSON":     func(int) string { return "{" },
		"empty":       func(int) string { return "" },
		"too long":    func(int) string { return strings.Repeat("x", commandLimit+1) },
		"expired":     func(i int) string { return order(fmt.Sprint("old", i), "reload", "{}", time.Hour) },
		"not allowed": func(i int) string { return order(fmt.Sprint("bad", i), "restart", "{}", time.Since(now)) },
		"no camera": func(i int) string {
			return order(fmt.Sprint("cam", i), "snapshot", `{"camera":"none"}`, time.Since(now))
		},
	} {
		l := lonely(t, CommandReload, CommandSnapshot, commandSet)
		now = time.Now() // not before the link's start, however long the others took
		l.Handle(&clerk{})
		d := l.dispatcher
		set := l.topics.base + l.id.Cameras[0] + "/threshold/set"
		for i := range 1000 {
			d.command(Message{Topic: l.topics.command, Payload: []byte(nonsense(i))}, now)
			d.set(Message{Topic: set, Payload: []byte(nonsense(i))}, now)
		}
		good := order("good", "reload", "{}", time.Since(now))
		d.command(Message{Topic: l.topics.command, Payload: []byte(good)}, now)
		d.set(Message{Topic: set, Payload: []byte("0.5")}, now)
		if got := len(d.jobs); got != 2 {
			t.Errorf("%s: %d jobs wait, want the command and the setting", name, got)
		}
		if got := l.missed.Load(); got != 1000-20+1000-5 {
			t.Errorf("%s: %d passed over, want 1975", name, got)
		}
	}
}

// Who gives a command that is not allowed here is told so, however much nonsense comes.
func TestNonsenseSilencesNoRefusal(t *testing.T) {
	l := lonely(t, CommandReload)
	l.Handle(&clerk{})
	now := time.Now()
	for range 1000 {
		l.dispatcher.command(Message{Topic: l.topics.command, Payload: []byte("{")}, now)
	}
	missed := l.missed.Load()
	refused := order("refused", CommandRestart, "{}", time.Since(now))
	l.dispatcher.command(Message{Topic: l.topics.command, Payload: []byte(refused)}, now)
	if _, answered := l.dispatcher.seen["refused"]; !answered || l.missed.Load() != missed {
		t.Error("the command was passed over, want an answer")
	}
}

// M8: 10,000 malformed messages, made from good ones, to every topic that the agent listens to:
// none is carried out, nothing ends, and memory stays.
func TestHostileCommands(t *testing.T) {
	l := lonely(t, Commands...)
	c := &clerk{link: l}
	l.Handle(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.dispatcher.run(ctx) }()
	random := rand.New(rand.NewPCG(7, 7))
	now := time.Now()
	seeds := []string{order("a", "reload", "{}", 0), order("b", "snapshot", `{"camera":"cam01"}`, 0), "ON", "0.5",
		`{"id":"c","id":"c","name":"reload","ts":"2026-01-01T00:00:00Z"}`, strings.Repeat("[", 4000),
		"{" + strings.Repeat(`"args":{`, 500), "\xff\xfe", "null", ""}
	topics := []string{"command", "cam01/enabled/set", "cam01/threshold/set", "cam99/enabled/set", "x", ""}
	l.out.spool.Connect()
	hit := func() {
		b := []byte(seeds[random.IntN(len(seeds))])
		for range 1 + random.IntN(4) {
			if len(b) > 0 {
				b[random.IntN(len(b))] ^= byte(1 << random.IntN(8))
			}
		}
		if random.IntN(10) == 0 {
			b = append(b, make([]byte, random.IntN(60<<10))...)
		} else {
			b = append(b, 'x')
		}
		now = now.Add(200 * time.Millisecond) // slowly enough to be looked at
		l.dispatcher.command(Message{Topic: l.topics.command, Payload: b}, now)
		l.dispatcher.set(Message{Topic: l.topics.base + topics[random.IntN(len(topics))], Payload: b}, now)
		for p, ok := l.out.take(); ok; p, ok = l.out.take() { // as a broker would
			if p.state == nil {
				l.out.spool.Ack(p.seq)
			}
		}
	}
	for range 10_000 { // once around the memory that the records of a link have anyway
		hit()
	}
	before := rss(t)
	for range 10_000 {
		hit()
	}
	after := rss(t)
	cancel()
	<-done
	t.Logf("RSS %d KiB before, %d after 10,000 malformed messages; %d ids remembered", before>>10, after>>10,
		len(l.dispatcher.seen))
	if grown := after - before; grown > 5<<20 && !racetest.Enabled {
		t.Errorf("RSS grew by %d bytes", grown)
	}
	if c.done() != "" {
		t.Errorf("carried out: %s", c.done())
	}
}

// rss is the resident memory of this process.
func rss(t *testing.T) int64 {
	debug.FreeOSMemory() // garbage is not what counts
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc")
	}
	var size, resident int64
	fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// FuzzCommand: whatever is taken for a command stands in the contract.
func FuzzCommand(f *testing.F) {
	f.Add([]byte(order("1", "reload", "{}", 0)))
	f.Add([]byte(order("1", "snapshot", `{"camera":"cam01"}`, 0)))
	f.Add([]byte(`{"id":"x","name":"model_activate","args":{"sha256":"` + strings.Repeat("0a", 32) +
		`"},"ts":"2026-01-01T00:00:00+01:00","ttl_s":300}`))
	f.Add([]byte(`{"ID":"x","name":"reload","ts":"2026-01-01T00:00:00,5Z"}`))
	c := judge()
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := decodeCommand(b)
		if err != nil {
			return
		}
		if err := c.Received(contract.Message{Topic: "vggse/edge01/command", QoS: 1, Payload: b}); err != nil {
			t.Fatalf("taken, but not in the contract: %v", err)
		}
	})
}

// FuzzSet: whatever comes on the plain topics, only what the contract has is carried out.
func FuzzSet(f *testing.F) {
	f.Add("cam01/threshold/set", "0.5")
	f.Add("cam01/enabled/set", "ON")
	f.Add("cam01//", "\x00")
	c := judge()
	f.Fuzz(func(t *testing.T, topic, payload string) {
		l := lonely(t, "set")
		l.Handle(new(clerk))
		m := Message{Topic: "vggse/edge01/" + topic, Payload: []byte(payload)}
		l.dispatcher.set(m, time.Now())
		if len(l.dispatcher.jobs) == 0 {
			return
		}
		if err := c.Received(contract.Message{Topic: m.Topic, QoS: 1, Payload: m.Payload}); err != nil {
			t.Fatalf("taken, but not in the contract: %v", err)
		}
	})
}
