package mqtt

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

var peersReport = flag.String("peers", "", "file that TestPeers writes its table to; it then takes its full size")

// counter is a broker's hook that remembers which records came, how often, and whether they said
// what they should.
type counter struct {
	mochi.HookBase
	mu     sync.Mutex
	came   map[int]int
	order  []int // of first arrivals
	wrong  int
	latest time.Time
	shape  string // of our payloads: all but what varies
}

func (*counter) ID() string { return "counter" }
func (*counter) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck || b == mochi.OnPublish
}
func (*counter) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*counter) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

// varying is what differs in our payloads from record to record, and from stream to stream.
var varying = regexp.MustCompile(`"(stream|boot)_id":"[0-9a-f-]+"|[0-9]+`)

func (c *counter) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	if strings.HasPrefix(p.TopicName, "vggse/edge01/") && !strings.HasSuffix(p.TopicName, "/result") ||
		strings.HasPrefix(p.TopicName, "homeassistant/") {
		return p, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = time.Now()
	var m struct {
		Frame  int             `json:"frame_id"`
		Schema json.RawMessage `json:"schema"`
	}
	err := json.Unmarshal(p.Payload, &m)
	shape, _, _ := strings.Cut(varying.ReplaceAllString(string(p.Payload), "0"), `,"redelivered":`)
	switch {
	case p.TopicName != peerTopic, err != nil, m.Schema == nil && string(p.Payload) != string(peerPayload(m.Frame)):
		c.wrong++
		return p, nil
	case m.Schema != nil && c.shape == "":
		c.shape = shape
	case m.Schema != nil && c.shape != shape:
		c.wrong++
		return p, nil
	}
	if c.came[m.Frame]++; c.came[m.Frame] == 1 {
		c.order = append(c.order, m.Frame)
	}
	return p, nil
}

func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.came)
	c.order, c.wrong, c.latest = nil, 0, time.Now()
}

// quietFor reports whether nothing has come for so long.
func (c *counter) quietFor(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.latest) > d
}

// lacks reports whether one of the records has not come.
func (c *counter) lacks(due map[int]bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range due {
		if c.came[n] == 0 {
			return true
		}
	}
	return false
}

// contest is one publisher against one counting broker.
type contest struct {
	*testing.T
	kind     string
	dir      string
	way      *proxy
	counter  *counter
	accepted map[int]bool
	next     int
}

func newContest(t *testing.T, kind string) *contest {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &contest{T: t, kind: kind, dir: t.TempDir(), counter: &counter{came: make(map[int]int), latest: time.Now()},
		accepted: make(map[int]bool), next: 1}
	server, err := serveHook(k.counter, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	k.way = startProxy(t, l.Addr().String())
	return k
}

// racer is a publisher in a process of its own.
type racer struct {
	*exec.Cmd
	first, end, done chan struct{} // the first record is accepted; all are; the process has ended
	wrote            int           // bytes, when all are
}

// kill ends it.
func (r *racer) kill() {
	r.Process.Kill()
	<-r.done
	r.Wait()
}

// run starts a publisher of many records; 0: without end.
func (k *contest) run(many int) *racer {
	r := &racer{first: make(chan struct{}), end: make(chan struct{})}
	first, end := sync.OnceFunc(func() { close(r.first) }), sync.OnceFunc(func() { close(r.end) })
	r.Cmd, r.done = child(k.T, func(out io.Reader) {
		defer end()
		defer first()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				k.accepted[n] = true
				first()
			} else if n, _ := fmt.Sscanf(lines.Text(), "wrote %d", &r.wrote); n == 1 {
				end()
			}
		}
	}, helperPeer+"="+k.kind, helperBroker+"="+k.way.url(), helperSpool+"="+k.dir, helperFrom+"="+
		strconv.Itoa(k.next), helperMany+"="+strconv.Itoa(many))
	k.next += 100_000
	return r
}

// drain lets a publisher of one more record run until nothing comes any more, and until due has
// come, or will not. It reports whether it lived.
func (k *contest) drain(calm time.Duration, due map[int]bool) bool {
	k.way.set(false)
	r := k.run(1)
	defer r.kill()
	for began := time.Now(); time.Since(began) < calm || !k.counter.quietFor(calm) ||
		k.counter.lacks(due) && time.Since(began) < hang; {
		select {
		case <-r.done:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

// figures are what a contest has shown.
type figures struct {
	accepted, missing, repeated, reordered int
	trials, crashed, wrong, gone           int
	offline, online                        float64 // bytes written for each record
}

// kills are lives of the publisher, each ended by SIGKILL, in every third of which the way is cut.
func (k *contest) kills(lives int, f *figures) {
	random := rand.New(rand.NewPCG(1, 1))
	nap := func(least, most int) { time.Sleep(time.Duration(least+random.IntN(most-least)) * time.Millisecond) }
	for n := range lives {
		k.way.set(false)
		r := k.run(0)
		<-r.first
		nap(20, 120)
		if n%3 == 2 {
			k.way.set(true)
			nap(10, 60)
			k.way.set(random.IntN(2) == 0)
			nap(10, 60)
		}
		r.kill()
	}
	var due map[int]bool // the peers may lose some: of theirs nothing is waited for
	if k.kind == peerOurs {
		due = maps.Clone(k.accepted)
	}
	k.drain(3*time.Second, due)
	k.counter.mu.Lock()
	defer k.counter.mu.Unlock()
	f.accepted = len(k.accepted)
	for n := range k.accepted {
		if k.counter.came[n] == 0 {
			f.missing++
		}
	}
	highest := 0
	for _, n := range k.counter.order {
		if n < highest {
			f.reordered++
		}
		highest = max(highest, n)
	}
	for _, n := range k.counter.came {
		f.repeated += n - 1
	}
	f.wrong += k.counter.wrong
}

// damage fills a store without a broker, spoils copies of it in one place each, and looks at what
// then comes.
func (k *contest) damage(records, trials int, f *figures) {
	k.way.set(true)
	clear(k.accepted)
	sound := k.TempDir()
	k.dir = sound
	k.fill(records)
	held := slices.Collect(maps.Keys(k.accepted))
	random := rand.New(rand.NewPCG(2, 2))
	for range trials {
		k.dir = filepath.Join(k.TempDir(), "copy")
		if err := os.CopyFS(k.dir, os.DirFS(sound)); err != nil {
			k.Fatal(err)
		}
		spoil(k.T, k.dir, random)
		k.counter.reset()
		if f.trials++; !k.drain(time.Second, nil) {
			f.crashed++
		}
		k.way.set(true)
		k.counter.mu.Lock()
		f.wrong += k.counter.wrong
		for _, n := range held {
			if k.counter.came[n] == 0 {
				f.gone++
			}
		}
		k.counter.mu.Unlock()
	}
}

// fill runs a publisher until all its records are accepted, and returns how many bytes it wrote for
// each.
func (k *contest) fill(records int) float64 {
	r := k.run(records)
	<-r.end
	r.kill()
	return float64(r.wrote) / float64(records)
}

// spoil damages the used part of one file, which one by its size: a bit flips, the end is lost, or
// a page is zero.
func spoil(t *testing.T, dir string, random *rand.Rand) {
	type used struct {
		path string
		b    []byte
	}
	var files []used
	total := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if b = bytes.TrimRight(b, "\x00"); len(b) > 0 {
			files = append(files, used{path, b})
			total += len(b)
		}
		return err
	})
	if err != nil || total == 0 {
		t.Fatalf("nothing to spoil in %s: %v", dir, err)
	}
	at := random.IntN(total)
	for _, f := range files {
		if at >= len(f.b) {
			at -= len(f.b)
			continue
		}
		switch random.IntN(3) {
		case 0:
			f.b[at] ^= 1 << random.IntN(8)
		case 1:
			f.b = f.b[:at]
		case 2:
			page := at &^ 4095
			clear(f.b[page:min(page+4096, len(f.b))])
		}
		if err := os.WriteFile(f.path, f.b, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
}

// TestPeers puts the link beside what Go programs on MQTT use: paho.mqtt.golang with its FileStore,
// and autopaho with its queue and its session in files. All publish records of about 500 bytes as
// fast as once a millisecond, on one harness: killed with SIGKILL, the way cut in every third life;
// a store damaged in one place; bytes written. "Accepted" is what the library says: its call
// returned without error. For ours it is what the spool calls safe.
func TestPeers(t *testing.T) {
	lives, trials, records := 3, 1, 200
	if *peersReport != "" {
		lives, trials, records = 100, 50, 10_000
	}
	table := new(strings.Builder)
	fmt.Fprintf(table, "| | accepted | of them missing | came again | out of order | damaged stores | crashed | "+
		"wrong payloads | records lost for each damage | bytes written for each record, broker away | broker there "+
		"|\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, kind := range []string{peerStore, peerQueue, peerOurs} {
		t.Run(kind, func(t *testing.T) {
			k, f := newContest(t, kind), new(figures)
			k.kills(lives, f)
			k.damage(300, trials, f)
			k.dir = t.TempDir()
			k.way.set(true)
			f.offline = k.fill(records)
			k.way.set(false)
			k.dir = t.TempDir()
			f.online = k.fill(records)
			fmt.Fprintf(table, "| %s | %d | %d | %d | %d | %d | %d | %d | %.2f | %.0f | %.0f |\n", kind, f.accepted,
				f.missing, f.repeated, f.reordered,
				f.trials, f.crashed, f.wrong, float64(f.gone)/float64(f.trials), f.offline, f.online)
			if f.accepted < lives {
				t.Errorf("only %d records were accepted in %d lives", f.accepted, lives)
			}
			if kind == peerOurs && (f.missing > 0 || f.reordered > 0 || f.wrong > 0 || f.crashed > 0) {
				t.Errorf("%+v", *f)
			}
		})
	}
	t.Logf("%d lives each\n%s", lives, table)
	if *peersReport == "" {
		return
	}
	text := fmt.Sprintf("# What waits for the broker: ours and its peers\n\n%s, Go %s, %d CPUs, %d lives each, %d "+
		"damaged stores of 300 records each.\n\n%s",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.Version(), runtime.NumCPU(), lives, trials, table)
	if err := os.WriteFile(*peersReport, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
