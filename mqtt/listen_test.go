package mqtt

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// TestListen: a link that hears its own topics and those of a fleet gets what is retained there over the
// first connection, which holds: the two subscriptions have different numbers of filters, and the guard
// of a connection knows of one at a time.
func TestListen(t *testing.T) {
	m := startMosquitto(t)
	bus, err := NewBus(Config{Broker: m.url()}, "vggse-fleet/-", nil, func(error) {}, func(Message) {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { bus.Run(ctx) })
	<-bus.Post("vggse-fleet/line3/model", []byte("hello"))
	for range 20 {
		cfg := testConfig(m.url())
		cfg.Commands.Allow = Commands
		var said bytes.Buffer
		l, err := NewLink(cfg, testIdentity(), slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan Message, 8)
		l.Listen([]string{"vggse-fleet/line3/model", "vggse-fleet/canary/model"}, func(m Message) { heard <- m })
		stop := start(t, l)
		if got := <-heard; string(got.Payload) != "hello" || !got.Retained {
			t.Errorf("heard %+v", got)
		}
		stop()
		if strings.Contains(said.String(), "broker lost") || strings.Contains(said.String(), "not subscribed") {
			t.Fatalf("the link says:\n%s", &said)
		}
	}
}
