package mqtt

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vggse/vggse-agent/vision"
)

// helperBroker, set in the environment, makes the test binary a small agent for tests that kill
// one.
const helperBroker = "MQTT_TEST_HELPER_BROKER"

func TestMain(m *testing.M) {
	if addr := os.Getenv(helperAttack); addr != "" {
		os.Exit(attack(addr))
	}
	if broker, dir, file := os.Getenv(helperBroker), os.Getenv(helperSpool), os.Getenv(helperArrivals); file != "" {
		os.Exit(recordForever(broker, file))
	} else if kind := os.Getenv(helperPeer); kind != "" {
		os.Exit(peer(kind, broker, dir))
	} else if dir != "" {
		os.Exit(spooler(broker, dir))
	} else if broker != "" {
		os.Exit(helper(broker))
	}
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) { os.Exit(judge().verdict(code)) }),
		// toxiproxy 2.5 forgets the goroutines of silent connections
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"))
}

// helper publishes a decision every 20 ms until it is interrupted.
func helper(broker string) int {
	cfg := testConfig(broker)
	cfg.Publish = Policy{Every: true}
	link, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	go func() {
		d := decision("cam01")
		for ctx.Err() == nil {
			d.Frame++
			d.Time = time.Now()
			if err := link.Publish(ctx, d); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	link.Run(ctx)
	return 0
}

func testConfig(broker string) Config {
	cfg := baseConfig(broker)
	cfg.tap = judge().see
	return cfg
}

// baseConfig is testConfig without a judge, whom no process needs that is going to be killed.
func baseConfig(broker string) Config {
	return Config{
		Broker: broker, TopicPrefix: "vggse", QoS: 1, StatsInterval: time.Minute,
		Publish:   Policy{Deadband: 0.05, Heartbeat: time.Minute, MaxRate: 5},
		Discovery: DiscoveryConfig{Enabled: true, Prefix: "homeassistant"},
	}
}

func testIdentity() Identity {
	return Identity{
		Device: "edge01", Name: "Line 3", Site: "Hall B", Version: "1.2.3", Commit: "abcdef012345",
		Model: ModelInfo{Name: "demo", Version: "1", SHA256: strings.Repeat("ab12", 16), Precision: "fp32",
			Provider: "cpu"},
		Cameras: []string{"cam01", "cam02"},
	}
}

// decision says, of a made-up frame, that it shows a gear.
func decision(camera string) *vision.Decision {
	gear := vision.Class{Label: "gear", Index: 2, Score: 0.91}
	return &vision.Decision{
		Camera: camera, Frame: 1, Time: time.Now(),
		Top:    []vision.Class{gear, {Label: "bolt", Index: 1, Score: 0.05}},
		Stable: gear, Before: vision.Class{Label: vision.Unknown, Index: -1},
		Latency: vision.Latency{Capture: 2 * time.Millisecond, Infer: 7 * time.Millisecond,
			Total: 12 * time.Millisecond},
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// runLink runs a link until the test ends, or stop is called.
func runLink(t *testing.T, cfg Config, log *slog.Logger) (l *Link, stop func()) {
	t.Helper()
	l, err := NewLink(cfg, testIdentity(), log)
	if err != nil {
		t.Fatal(err)
	}
	return l, start(t, l)
}

// start runs a link until the test ends, or stop is called.
func start(t *testing.T, l *Link) (stop func()) {
	t.Helper()
	l.retry = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// hang is how long a test waits for what must come, however slow the machine is.
const hang = 2 * time.Minute

// eventually waits until ok holds.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
