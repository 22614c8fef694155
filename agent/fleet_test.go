package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/fleet"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/release"
)

var (
	fleetSize  = flag.Int("fleet", 200, "devices of the simulated fleet")
	fleetKills = flag.Int("fleet-kills", 3, "times that its reconciler is killed")
	// fleetProfile is where TestFleet leaves what its devices hold.
	fleetProfile = flag.String("fleet-profile", "", "folder for heap and goroutines of the simulated fleet")
)

// rolloutVariable makes this test program reconcile a rollout, as JSON of rolloutJob says.
const rolloutVariable = "TEST_RECONCILES_A_ROLLOUT"

type rolloutJob struct {
	Broker string
	Start  fleet.Start
}

// reconcileAside is that program. It ends with 0 where the rollout is done, 3 where it was halted.
func reconcileAside(text string) int {
	var job rolloutJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return 2
	}
	o := fleet.Options{MQTT: mqtt.Config{Broker: job.Broker, TopicPrefix: "vggse"}, Group: "line3"}
	switch err := fleet.Run(context.Background(), o, job.Start); {
	case errors.Is(err, fleet.ErrHalted):
		fmt.Fprintln(os.Stderr, err)
		return 3
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// broker is a real Mosquitto in a process of its own.
type realBroker struct {
	t    *testing.T
	conf string
	url  string
	cmd  *exec.Cmd
}

func startBroker(t *testing.T) *realBroker {
	t.Helper()
	path := ""
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if found, err := exec.LookPath(dir + "mosquitto"); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("mosquitto not found (make deps)")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	b := &realBroker{t: t, conf: filepath.Join(t.TempDir(), "mosquitto.conf"), url: "tcp://127.0.0.1:" + port}
	text := "listener " + port + " 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n"
	if err := os.WriteFile(b.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start(path)
	t.Cleanup(b.kill)
	return b
}

func (b *realBroker) start(path string) {
	b.t.Helper()
	b.cmd = exec.Command(path, "-c", b.conf)
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	within(b.t, "mosquitto listens", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "tcp://"))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// kill is SIGKILL: nothing that was retained is left.
func (b *realBroker) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait() // it was killed
}

// within waits for a state, as long as a fleet on a busy machine may need.
func within(t *testing.T, what string, holds func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !holds() {
		if limit := time.Duration(10+*fleetSize/300) * time.Minute; time.Since(begin) > limit {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1) // into memory
			t.Fatalf("%s: not within %s; what runs:\n%s", what, limit, &stacks)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(begin)
}

// factory is what all devices share: releases 7 and 8, and the key that signed them.
type factory struct {
	from, trust string
	targets     map[int64]fleet.Target
}

func newFactory(t *testing.T) *factory {
	t.Helper()
	f := &factory{from: t.TempDir(), trust: t.TempDir(), targets: make(map[int64]fleet.Target)}
	key := filepath.Join(t.TempDir(), "k")
	k, err := release.NewKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.trust, "k.pub"), k.Text(), 0o644); err != nil {
		t.Fatal(err)
	}
	secret, err := release.OpenSecretKey(key+".key", "")
	if err != nil {
		t.Fatal(err)
	}
	demo, err := bundle.Open("../demo/bundle")
	if err != nil {
		t.Fatal(err)
	}
	for number := range int64(9) {
		if number < 7 {
			continue
		}
		dir := t.TempDir()
		spec := demo.Spec
		spec.Version = fmt.Sprint(number)
		file, err := bundle.WriteFile(t.Context(), dir, "fp32.onnx", io.Discard, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "a network, release %d", number)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		spec.Files = map[string]bundle.File{bundle.FileFP32: file}
		if err := bundle.WriteSpec(dir, &spec); err != nil {
			t.Fatal(err)
		}
		m, err := release.NewImage(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := release.Sign(m, release.SignOptions{Name: "parts", Release: number}, secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := release.Push(t.Context(), m, s, release.Place{Path: filepath.Join(f.from, "parts")}); err != nil {
			t.Fatal(err)
		}
		f.targets[number] = fleet.Target{Name: "parts", Release: number, Digest: s.Statement.Bundle}
	}
	return f
}

// lightAgent is a device without camera and network: its link, its update code, its commands and its
// store are the real ones.
type lightAgent struct {
	id      string
	link    *mqtt.Link
	running atomic.Pointer[string]
	u       *updater
	bad     bool // release 8 does not run here
}

func (a *lightAgent) runs() string { return *a.running.Load() }

// newLightAgent makes one below the folder dir.
func newLightAgent(t *testing.T, f *factory, broker, dir string, i int, bad bool) *lightAgent {
	t.Helper()
	a := &lightAgent{id: fmt.Sprintf("edge-%05d", i), bad: bad}
	a.running.Store(new(string))
	c := &configs.Config{StateDir: filepath.Join(dir, a.id),
		Device: configs.Device{ID: a.id, Groups: []string{"line3"}},
		Model: configs.Model{Demo: "demo", Bundle: "demo", Trust: f.trust, RequireSignature: release.RequireAuto,
			Precision: "auto"},
		Update: release.Config{From: f.from},
		MQTT:   mqtt.Config{Broker: broker, TopicPrefix: "vggse", QoS: 1, StatsInterval: time.Minute}}
	if err := os.Mkdir(c.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	var err error
	id := mqtt.Identity{Device: a.id, Groups: c.Device.Groups, Updates: true, Release: releaseOf(c)}
	if a.link, err = mqtt.NewLink(c.MQTT, id, quiet); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("verify missed its gate")
	host := &Host{Verify: func(_ context.Context, dir string) error {
		if a.bad && filepath.Base(dir) == f.targets[8].Digest {
			return refused
		}
		return nil
	}}
	host.reload = func() (func(), error) { return func() { a.takeActive(c) }, nil }
	commands := &commands{config: c, host: host, log: quiet, link: a.link}
	a.u = &updater{config: c, version: "v1.0.0", activate: commands.activate, tell: a.link.Update, log: quiet,
		running: a.runs}
	a.u.listen(a.link)
	return a
}

// takeActive is what the exchange of the network does: it tells what answers from now on.
func (a *lightAgent) takeActive(c *configs.Config) {
	active, ok, err := store.At(c.StateDir).Active()
	if err != nil || !ok {
		return
	}
	if err := store.At(c.StateDir).Confirm(active.SHA256); err != nil {
		return
	}
	now := *c
	now.Model.Bundle = active.Dir
	a.link.Released(releaseOf(&now))
	a.link.Model(mqtt.ModelInfo{Name: "parts", SHA256: active.SHA256}, nil)
	a.running.Store(&active.SHA256)
}

// TestFleet: of many devices with the real link and update code a bad release reaches no more than the
// wave that shows it, whoever kills the one that reconciles, and the broker; taken back, all run what
// they ran before.
func TestFleet(t *testing.T) {
	broker, f := startBroker(t), newFactory(t)
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "vggse-fleet-*"); err == nil { // spares the disk their fsyncs
		t.Cleanup(func() { os.RemoveAll(shm) })
		dir = shm
	}
	bare := bareClients(t, broker.url)
	heap, stacks := inUse()
	before := heap + stacks
	agents := make([]*lightAgent, *fleetSize)
	for i := range agents {
		agents[i] = newLightAgent(t, f, broker.url, dir, i, i%33 == 17) // 3 in 100
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for _, a := range agents {
		group.Go(func() { _ = a.link.Run(ctx) }) // always nil
		group.Go(func() { a.u.run(ctx) })
	}
	connected := func() bool { return all(agents, func(a *lightAgent) bool { return a.link.Connected() }) }
	t.Logf("%d devices connected within %s", len(agents), within(t, "connected", connected).Round(time.Millisecond))

	plan := fleet.Plan{Waves: []string{"100%"}, Hold: time.Second, Spread: time.Second, StopAt: "100%"}
	if code := reconcile(t, broker, fleet.Start{Target: f.targets[7], Plan: plan}, 0); code != 0 {
		t.Fatalf("release 7: exit %d", code)
	}
	within(t, "all run release 7", func() bool { return count(agents, f.targets[7].Digest) == len(agents) })
	heap, stacks = inUse()
	t.Logf("a device: %d KB, %d of them stacks of %d goroutines; a client of paho by itself: %d KB",
		(heap+stacks-before)/1024/int64(len(agents)), stacks/1024/int64(len(agents)),
		runtime.NumGoroutine()/len(agents), bare)
	profile(t, "heap")
	profile(t, "goroutine")

	broker.kill()
	broker.start(broker.cmd.Path)
	took := within(t, "all are back", connected)
	t.Logf("all back %s after the broker", took.Round(time.Millisecond))
	if took > time.Minute {
		t.Errorf("all back after %s, at most 60 s are right", took)
	}
	plan.Waves, plan.StopAt = []string{"1", "20%", "100%"}, "2%"
	plan.Hold = 10*time.Second + time.Duration(len(agents)-200)*10*time.Millisecond // who is late has failed, too
	if code := reconcile(t, broker, fleet.Start{Target: f.targets[8], Plan: plan}, *fleetKills); code != 3 {
		t.Fatalf("release 8: exit %d, want 3 (halted)", code)
	}
	o := fleet.Options{MQTT: mqtt.Config{Broker: broker.url, TopicPrefix: "vggse"}, Group: "line3"}
	_, p, err := fleet.Status(t.Context(), o)
	if err != nil || p.State != "halted" || p.Failed*100 <= 2*p.Asked || p.Moved == 0 {
		t.Errorf("%+v, %v, want it halted by what failed", p, err)
	}
	t.Logf("%+v", p)
	moved := count(agents, f.targets[8].Digest)
	well := func(a *lightAgent) bool { return !a.bad || a.runs() != f.targets[8].Digest }
	if moved > p.Asked || !all(agents, well) {
		t.Errorf("%d run release 8, %d were asked; no bad one runs it: %v", moved, p.Asked, all(agents, well))
	}
	if _, err := fleet.End(t.Context(), o, "test", true); err != nil {
		t.Fatal(err)
	}
	within(t, "all run what they ran before", func() bool { return count(agents, f.targets[7].Digest) == len(agents) })
}

func all(agents []*lightAgent, holds func(*lightAgent) bool) bool {
	for _, a := range agents {
		if !holds(a) {
			return false
		}
	}
	return true
}

// count is how many run the bundle of a digest.
func count(agents []*lightAgent, digest string) (n int) {
	for _, a := range agents {
		if a.runs() == digest {
			n++
		}
	}
	return n
}

// inUse is the memory of this process that something holds, bytes. Each collection halves stacks that
// were deep once.
func inUse() (heap, stacks int64) {
	for range 6 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}

// bareClients is what a client of paho takes that is connected, hears one topic and does nothing else, KB.
func bareClients(t *testing.T, broker string) int64 {
	t.Helper()
	const n = 200
	heap, stacks := inUse()
	before := heap + stacks
	clients := make([]paho.Client, n)
	for i := range clients {
		clients[i] = paho.NewClient(paho.NewClientOptions().AddBroker(broker).SetClientID(fmt.Sprint("bare-", i)))
		for _, ask := range []func() paho.Token{clients[i].Connect,
			func() paho.Token { return clients[i].Subscribe("bare", 1, nil) }} {
			token := ask()
			if token.Wait(); token.Error() != nil {
				t.Fatal(token.Error())
			}
		}
	}
	heap, stacks = inUse()
	for _, c := range clients {
		c.Disconnect(0)
	}
	return (heap + stacks - before) / 1024 / n
}

// starvedClients are what a client of paho leaves that waited for the processor for half a minute while
// it was connecting (P24 of docs/decisions/010-what-paho-does.md), as some of thousands of devices in one
// process do.
func starvedClients() (ignored []goleak.Option) {
	if *fleetSize <= 1000 {
		return nil
	}
	for _, name := range []string{"(*client).startCommsWorkers.func1", "(*client).startCommsWorkers.func2",
		"startComms.func2", "startComms.func3", "startOutgoingComms.func1", "(*connectionStatus).Disconnecting"} {
		ignored = append(ignored, goleak.IgnoreAnyFunction("github.com/eclipse/paho%2emqtt%2egolang."+name))
	}
	return ignored
}

// profile leaves one in the folder of -fleet-profile.
func profile(t *testing.T, kind string) {
	t.Helper()
	if *fleetProfile == "" {
		return
	}
	f, err := os.Create(filepath.Join(*fleetProfile, kind))
	if err == nil {
		err = errors.Join(pprof.Lookup(kind).WriteTo(f, 0), f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// reconcile runs a rollout in a process of its own, twice where kills are wanted, and kills one or the
// other so often, at any moment; it returns how the last one ended.
func reconcile(t *testing.T, b *realBroker, s fleet.Start, kills int) int {
	t.Helper()
	job, err := json.Marshal(rolloutJob{b.url, s})
	if err != nil {
		t.Fatal(err)
	}
	begin := func() (*exec.Cmd, *bytes.Buffer) {
		cmd, said := exec.Command(os.Args[0]), new(bytes.Buffer)
		cmd.Env, cmd.Stderr = append(os.Environ(), rolloutVariable+"="+string(job)), said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, said
	}
	for range kills {
		one, _ := begin()
		other, _ := begin()
		time.Sleep(rand.N(1500*time.Millisecond + time.Duration(*fleetSize)*time.Millisecond)) // until the kill
		_ = one.Process.Kill()
		_ = one.Wait()
		_ = other.Process.Kill()
		_ = other.Wait()
	}
	last, said := begin()
	_ = last.Wait()
	t.Logf("%s: exit %d, %s", s.Target, last.ProcessState.ExitCode(), said)
	if code := last.ProcessState.ExitCode(); code != 1 {
		return code
	}
	t.Fatalf("reconciler: %s", said)
	return 1
}
