package mqtt

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt/broker"
)

// The embedded broker serves a real mosquitto_sub; a second one takes the next port.
func TestEmbedded(t *testing.T) {
	b, err := broker.Start("127.0.0.1:21883", quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	second, err := broker.Start("127.0.0.1:"+b.URL()[len("tcp://127.0.0.1:"):], quiet())
	if err != nil {
		t.Fatal(err)
	}
	if second.Port() <= b.Port() {
		t.Errorf("ports %d and %d", b.Port(), second.Port())
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	e := listen(t, b.Port())
	l, stop := runLink(t, testConfig(b.URL()), quiet())
	publish(t, l, "cam01", "gear", 2)
	eventually(t, hang, "label", func() bool { return e.last("vggse/edge01/cam01/classification") == "gear" })
	late := listen(t, b.Port())
	eventually(t, hang, "retained label",
		func() bool { return late.last("vggse/edge01/cam01/classification") == "gear" })
	stop()
	eventually(t, hang, "stopped", func() bool { return e.last("vggse/edge01/available") == Stopped })
}

func TestEmbeddedStaysInside(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:1883": "not a loopback address", "broker:1883": "not a loopback address", "127.0.0.1": "missing port",
		"127.0.0.1:x": "no number",
	} {
		if b, err := broker.Start(addr, quiet()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", addr, err, want)
			if b != nil {
				b.Close()
			}
		}
	}
}

// Watch tells what comes, in order, and each loss and return of the broker once.
func TestWatch(t *testing.T) {
	m := startMosquitto(t)
	cfg := testConfig(m.url())
	cfg.Publish = Policy{Every: true}
	l, _ := runLink(t, cfg, quiet())
	ctx, cancel := context.WithCancel(t.Context())
	messages := make(chan Message, 1000)
	changes := make(chan error, 1000)
	done := make(chan error)
	go func() {
		done <- Subscribe(ctx, cfg, []string{"vggse/#"}, func(err error) { changes <- err }, func(m Message) {
			if strings.HasSuffix(m.Topic, "/result") {
				messages <- m
			}
		})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for round := range 2 {
		if round > 0 {
			m.kill()
			if err := await(t, changes); err == nil {
				t.Error("the loss was not told")
			}
			m.start()
		}
		for await(t, changes) != nil { // attempts in between
		}
		eventually(t, hang, "link connected", l.Connected)
		for range 20 {
			l.Publish(ctx, decision("cam01"))
		}
		for i := range 20 {
			got := await(t, messages)
			if want := float64(round*20 + i + 1); field[float64](t, string(got.Payload), "seq") != want {
				t.Fatalf("got %s, want seq %g", got.Payload, want)
			}
		}
	}
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(hang):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
