package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/api"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/device"
	"github.com/vggse/vggse-agent/mqtt"
)

// manager keeps what it is told.
type manager struct {
	mu   sync.Mutex
	told []string
}

func (m *manager) Notify(state string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, state)
	return nil
}

func (m *manager) heard(part string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Contains(strings.Join(m.told, "\n"), part)
}

// hangs is how long the tests wait for what must come: it ends a test that hangs, however busy the
// machine is.
const hangs = 2 * time.Minute

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(hangs); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// TestWatchdogStarvesOnAHungRead: frames and a lost camera feed it, a read that hangs does not.
// Time stands still while anybody works: no step is late because the machine is busy.
func TestWatchdogStarvesOnAHungRead(t *testing.T) { synctest.Test(t, watchdogStarvesOnAHungRead) }

func watchdogStarvesOnAHungRead(t *testing.T) {
	var closed atomic.Int32
	free := make(chan struct{})
	hang := make(chan struct{})
	lost := func(context.Context) (pipeline.Source, error) { return nil, camera.ErrLost }
	p := stubPipeline(&stubNetwork{}, &stubPublisher{},
		pipeline.Camera{Name: "away", Open: lost, Slow: 50*time.Millisecond - time.Minute},
		pipeline.Camera{Name: "good", EveryFrame: true, Slow: 2*time.Second - time.Minute,
			Open: func(context.Context) (pipeline.Source, error) {
				return &stubSource{frames: 1 << 30, every: time.Millisecond, closed: &closed}, nil
			}},
		pipeline.Camera{Name: "bad", Slow: 200*time.Millisecond - time.Minute,
			Open: func(context.Context) (pipeline.Source, error) {
				select {
				case <-hang:
					<-free // as a driver does, whatever the context says
					return nil, io.EOF
				default:
					return nil, camera.ErrLost
				}
			}})
	link, err := mqtt.NewLink(mqttConfig(), mqtt.Identity{Device: "edge", Cameras: []string{"away", "good", "bad"}},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{}
	stuck := make(chan error, 1)
	o := &observer{
		host:    Host{Manager: m, Watchdog: 60 * time.Millisecond, Stuck: func(err error) { stuck <- err }},
		log:     slog.New(slog.DiscardHandler),
		cameras: map[string]string{"away": mqtt.CameraOffline, "good": mqtt.CameraOffline, "bad": mqtt.CameraOffline},
		started: time.Now(),
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = o.run(ctx) })
	waitFor(t, "time to start", func() bool {
		return m.heard("EXTEND_TIMEOUT_USEC=") &&
			m.heard("STATUS=opening the network")
	})
	if m.heard("WATCHDOG=1") {
		t.Error("the watchdog was fed before the pipeline ran")
	}
	o.mu.Lock()
	o.pipeline, o.link = p, link
	o.mu.Unlock()
	all.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, "the watchdog's food",
		func() bool { return m.heard("WATCHDOG=1\nSTATUS=0 of 3 cameras deliver, broker away") })
	close(hang)
	select {
	case err := <-stuck:
		if !strings.Contains(err.Error(), "camera bad: a read has not come back") {
			t.Errorf("stuck = %v", err)
		}
	case <-time.After(time.Hour):
		t.Error("a hung read was not noticed")
	}
	m.mu.Lock()
	fed := len(m.told)
	m.mu.Unlock()
	time.Sleep(200 * time.Millisecond)
	m.mu.Lock()
	if len(m.told) != fed {
		t.Errorf("the manager was told %v after the end", m.told[fed:])
	}
	m.mu.Unlock()
	close(free)
	cancel()
	all.Wait()
}

func mqttConfig() mqtt.Config {
	return mqtt.Config{Broker: "tcp://127.0.0.1:1", TopicPrefix: "vggse", QoS: 1, StatsInterval: time.Minute}
}

func TestUnready(t *testing.T) { synctest.Test(t, unready) }

func unready(t *testing.T) {
	link, err := mqtt.NewLink(mqttConfig(), mqtt.Identity{Device: "edge", Cameras: []string{"a", "b"}},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{cameras: map[string]string{"b": mqtt.CameraOffline, "a": mqtt.CameraOffline,
		"off": mqtt.CameraDisabled}, started: time.Now()}
	check := func(want string) {
		t.Helper()
		if got := strings.Join(o.Unready(), "; "); got != want {
			t.Errorf("unready = %q, want %q", got, want)
		}
	}
	if got := o.Unready(); len(got) != 1 || !regexp.MustCompile(`^opening the network, for \d+s so far$`).
		MatchString(got[0]) {
		t.Errorf("unready = %q", got)
	}
	o.pipeline, o.link = &pipeline.Pipeline{}, link
	check("the broker is not connected; no camera delivers: a, b")
	observed{link, o}.CameraStatus("a", mqtt.CameraOnline)
	check("the broker is not connected")
}

func TestThermal(t *testing.T) {
	events := func(n uint64) *device.Throttle {
		return &device.Throttle{Events: map[string]uint64{"under_voltage": n}}
	}
	for _, test := range []struct {
		now, before *device.Throttle
		want        mqtt.Condition
	}{
		{nil, nil, mqtt.Condition{Status: mqtt.OK}},
		{events(7), nil, mqtt.Condition{Status: mqtt.OK}}, // before the agent's time
		{events(7), events(7), mqtt.Condition{Status: mqtt.OK}},
		{events(8), events(7), mqtt.Condition{Status: mqtt.Degraded, Reason: "slowed itself down: under voltage"}},
		{&device.Throttle{Active: []string{"cpufreq-cpu0"}}, nil,
			mqtt.Condition{Status: mqtt.Degraded, Reason: "held back by the kernel: cpufreq-cpu0"}},
	} {
		if got := thermal(test.now, test.before); got != test.want {
			t.Errorf("thermal(%+v, %+v) = %+v, want %+v", test.now, test.before, got, test.want)
		}
	}
}

func TestSlowness(t *testing.T) {
	for _, test := range []struct {
		c    camera.Config
		want time.Duration
	}{
		{camera.Config{Source: "demo://parts"}, 0},
		{camera.Config{Source: "demo://parts?fps=0.01"}, 200 * time.Second},
		{camera.Config{Source: "demo://parts", FPS: 0.1}, 20 * time.Second},
		{camera.Config{Source: "rtsp://host/x#timeout=90000"}, 90 * time.Second},
	} {
		if got := camera.Slowness(&test.c); got != test.want {
			t.Errorf("slowness(%+v) = %s, want %s", test.c, got, test.want)
		}
	}
}

// TestObserverAnswers: a chosen port that is taken stops the start; a free one answers from the
// first moment.
func TestObserverAnswers(t *testing.T) {
	c := &configs.Config{HTTP: api.Config{Listen: "127.0.0.1:0"}, StateDir: t.TempDir()}
	o, err := newObserver(c, Host{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.run(ctx) }()
	answer, err := http.Get("http://" + o.server.Address() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != 503 || !strings.Contains(string(body), "opening the network") {
		t.Errorf("/readyz = %d %s", answer.StatusCode, body)
	}
	answer, err = http.Get("http://" + o.server.Address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ = io.ReadAll(answer.Body)
	answer.Body.Close()
	for _, want := range []string{"vggse_ready 0", "vggse_memory_available_bytes ", "vggse_disk_available_bytes "} {
		if !strings.Contains(string(body), "\n"+want) {
			t.Errorf("/metrics has no %q", want)
		}
	}
	c.HTTP.Listen = o.server.Address()
	if _, err := newObserver(c, Host{Log: slog.New(slog.DiscardHandler)}); err == nil ||
		!strings.Contains(err.Error(), "http.listen: ") {
		t.Errorf("a taken port = %v", err)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
