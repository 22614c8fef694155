package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

var update = flag.Bool("update", false, "write the golden files anew")

var watchNow = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)

// testBoard is a board of two devices: one at work, one that vanished.
func testBoard() *board {
	b := newBoard("tcp://127.0.0.1:1883", "vggse")
	b.connection(nil)
	for _, m := range [][2]string{
		{"edge01/available", "online"},
		{"edge01/info", `{"name":"Line 3","model":{"name":"parts","version":"1.2","precision":"int8","provider":"tensorrt"}}`},
		{"edge01/left/status", "online"},
		{"edge01/left/classification", "gear"},
		{"edge01/left/result", `{"frame_id":10,"ts":"2026-03-01T12:29:58Z","label":"gear","top":[{"label":"gear","p":0.5}],"latency_us":{"infer":6600}}`},
		{"edge01/left/event", `{"event_type":"class_changed","ts":"2026-03-01T12:29:58Z","label":"bolt","previous":"gear"}`},
		{"edge01/left/result", `{"frame_id":25,"ts":"2026-03-01T12:29:59Z","label":"bolt","top":[{"label":"bolt","p":0.913}],
			"model":{"name":"parts","version":"1.2","precision":"int8","provider":"tensorrt"},"latency_us":{"infer":7100}}`},
		{"edge01/right/status", "offline"},
		{"edge01/right/event", `{"event_type":"camera_lost","ts":"2026-03-01T12:29:59Z"}`},
		{"edge01/health", `{"overall":"degraded","parts":{"cameras":{"status":"degraded","reason":"offline: right"},"queue":{"status":"ok"}}}`},
		{"edge02/available", "offline"},
		{"edge02/press/status", "online"},
		{"edge02/press/classification", "unknown"},
		{"edge02/event", `{"event_type":"queue_dropped","ts":"2026-03-01T12:29:59Z","records":17}`},
	} {
		b.apply(mqtt.Message{Topic: "vggse/" + m[0], Payload: []byte(m[1])}, watchNow.Add(-time.Second))
	}
	for i := range b.events {
		b.events[i].at = watchNow // the golden knows no time zone
	}
	return b
}

// The table as it stands on a terminal, wide and narrow.
func TestWatchTable(t *testing.T) {
	for _, c := range []struct {
		name          string
		width, height int
		colour        bool
	}{{"wide", 110, 30, false}, {"narrow", 48, 12, false}, {"colour", 110, 30, true}} {
		got := strings.Join(testBoard().draw(style{c.colour}, c.width, c.height, watchNow), "\n") + "\n"
		golden := filepath.Join("testdata", "watch-"+c.name+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// FuzzWatch gives a board foreign topics and payloads: nothing that a terminal would obey comes out, and
// no line is wider than the terminal.
func FuzzWatch(f *testing.F) {
	f.Add("edge01/left/result", []byte(`{"label":"\u001b[2J","top":[{"label":"x","p":1e308}],"frame_id":3,"ts":"2026-03-01T12:29:59Z"}`), uint8(80), uint8(24))
	f.Add("\x1b]0;title\x07/left/status", []byte("\x1b[31m"), uint8(1), uint8(1))
	f.Add("d/c/event", []byte(`{"event_type":"class_changed","label":"日本語の長いラベル","previous":"\u202e"}`), uint8(30), uint8(9))
	f.Add("d/health", []byte(`{"overall":"failed","parts":{"a":{"reason":"\r\n"}}}`), uint8(100), uint8(3))
	f.Add("d/c/classification", []byte{0xff, 0xfe, 0x9b, '3', '1', 'm'}, uint8(60), uint8(20))
	f.Fuzz(func(t *testing.T, topic string, payload []byte, width, height uint8) {
		b := testBoard()
		m := mqtt.Message{Topic: "vggse/" + topic, Payload: payload}
		b.apply(m, watchNow)
		lines := b.draw(style{colour: true}, int(width), int(height), watchNow)
		if len(lines) > max(1, int(height)) {
			t.Fatalf("%d lines in %d", len(lines), height)
		}
		for _, line := range append(lines, plainMessage("vggse", m)) {
			plain := colours.ReplaceAllString(line, "")
			if i := strings.IndexFunc(plain, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u202e' }); i >= 0 {
				t.Fatalf("control character in %q", plain)
			}
		}
		for _, line := range lines {
			if got := uniseg.StringWidth(colours.ReplaceAllString(line, "")); width >= 40 && got > int(width) {
				t.Fatalf("%d cells in %d: %q", got, width, line)
			}
		}
	})
}

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

// With --json every message of a real link is one object on one line; the verb ends with its context.
func TestWatchJSON(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	broker, err := mqtt.StartBroker("127.0.0.1:2883", log)
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	link, err := mqtt.NewLink(mqtt.Config{Broker: broker.URL(), TopicPrefix: "vggse", QoS: 1, StatsInterval: time.Minute},
		mqtt.Identity{Device: "edge01", Cameras: []string{"left"}}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { link.Run(ctx) })
	gear := vision.Class{Label: "gear", Index: 0, Score: 0.9}
	if err := link.Publish(ctx, &vision.Decision{Camera: "left", Time: time.Now(), Top: []vision.Class{gear}, Stable: gear, Changed: true}); err != nil {
		t.Fatal(err)
	}
	var out, errs syncBuffer
	wait.Go(func() {
		if code := execute(ctx, []string{"watch", "--json", "--broker", broker.URL()}, &out, &errs); code != exitDone {
			t.Errorf("exit code %d: %s", code, errs.String())
		}
	})
	for !strings.Contains(out.String(), `"vggse/edge01/left/classification"`) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Errorf("nothing came: %s", errs.String())
	}
	cancel()
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
