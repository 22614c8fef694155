package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/mqtt/broker"
	"github.com/vggse/vggse-agent/vision"
)

// syncBuffer is written by the verb and read by the test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// With --json every message of a real link is one object on one line; the verb ends with its
// context.
func TestWatchJSON(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	embedded, err := broker.Start("127.0.0.1:2883", log)
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Close()
	link, err := mqtt.NewLink(mqtt.Config{Broker: embedded.URL(), TopicPrefix: "vggse", QoS: 1,
		StatsInterval: time.Minute},
		mqtt.Identity{Device: "edge01", Cameras: []string{"left"}}, log)
	if err != nil {
		t.Fatal(err)
	}
	guard, release := context.WithTimeout(t.Context(), patience)
	defer release()
	ctx, cancel := context.WithCancelCause(guard)
	var wait sync.WaitGroup
	wait.Go(func() { link.Run(ctx) })
	gear := vision.Class{Label: "gear", Index: 0, Score: 0.9}
	if err := link.Publish(ctx, &vision.Decision{Camera: "left", Time: time.Now(), Top: []vision.Class{gear},
		Stable: gear, Changed: true}); err != nil {
		t.Fatal(err)
	}
	var out, errs syncBuffer
	wait.Go(func() {
		if code := execute(ctx, []string{"watch", "--json", "--broker", embedded.URL()}, &out,
			&errs); code != exitDone {
			t.Errorf("exit code %d: %s", code, errs.String())
		}
	})
	for !strings.Contains(out.String(), `"vggse/edge01/left/classification"`) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Errorf("nothing came: %s", errs.String())
	}
	cancel(errors.New("interrupt signal received")) // as signal.NotifyContext ends one
	wait.Wait()
	found := false
	for line := range strings.Lines(out.String()) {
		var m struct {
			Topic    string
			Retained bool
			Payload  any
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if m.Topic == "vggse/edge01/left/classification" && m.Payload == "gear" {
			found = true
		}
	}
	if !found {
		t.Errorf("no label in %s", out.String())
	}
}
