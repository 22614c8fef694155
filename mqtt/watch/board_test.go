package watch

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"github.com/vggse/vggse-agent/mqtt"
)

var update = flag.Bool("update", false, "write the golden files anew")

var watchNow = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)

// testBoard is a board of two devices: one at work, one that vanished.
func testBoard() *Board {
	b := New("tcp://127.0.0.1:1883", "vggse")
	b.Connection(nil, watchNow.Add(-time.Minute))
	for _, m := range [][2]string{
		{"edge01/available", "online"},
		{"edge01/info", `{"name":"Line 3",` +
			`"model":{"name":"parts","version":"1.2","precision":"int8","provider":"tensorrt"}}`},
		{"edge01/left/status", "online"},
		{"edge01/left/classification", "gear"},
		{"edge01/left/result",
			`{"frame_id":10,"ts":"2026-03-01T12:29:58Z","label":"gear",` +
				`"top":[{"label":"gear","p":0.5}],"latency_us":{"infer":6600}}`},
		{"edge01/left/event", `{"event_type":"class_changed","ts":"2026-03-01T12:29:58Z",` +
			`"label":"bolt","previous":"gear"}`},
		{"edge01/left/result", `{"frame_id":25,"ts":"2026-03-01T12:29:59Z","label":"bolt",
			"top":[{"label":"bolt","p":0.913}],
			"model":{"name":"parts","version":"1.2","precision":"int8","provider":"tensorrt"},
			"latency_us":{"infer":7100}}`},
		{"edge01/right/status", "offline"},
		{"edge01/right/event", `{"event_type":"camera_lost","ts":"2026-03-01T12:29:59Z"}`},
		{"edge01/health", `{"overall":"degraded",` +
			`"parts":{"cameras":{"status":"degraded","reason":"offline: right"},"queue":{"status":"ok"}}}`},
		{"edge02/available", "offline"},
		{"edge02/press/status", "online"},
		{"edge02/press/classification", "unknown"},
		{"edge02/event", `{"event_type":"queue_dropped","ts":"2026-03-01T12:29:59Z","records":17}`},
	} {
		b.Apply(mqtt.Message{Topic: "vggse/" + m[0], Payload: []byte(m[1])}, watchNow.Add(-time.Second))
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
		got := strings.Join(testBoard().Draw(Style{c.colour}, c.width, c.height, watchNow), "\n") + "\n"
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

// A broker grants a filter of which its access rules let nothing pass, or no more than whether a
// device is there: the table says so, after a while, and no longer than it is true.
func TestHint(t *testing.T) {
	apply := func(topics ...string) func(*Board) {
		return func(b *Board) {
			for _, topic := range topics {
				b.Apply(mqtt.Message{Topic: topic, Payload: []byte("online")}, watchNow)
			}
		}
	}
	const nothing, only = "nothing below plant/a/ yet: is an agent running, and may this user read plant/a/#?",
		"only \"available\" comes below plant/a/: the broker's access rules probably do not let this user " +
			"read plant/a/#"
	for name, c := range map[string]struct {
		comes func(*Board)
		after time.Duration
		want  string
	}{
		"too early":       {apply(), Patience - time.Millisecond, ""},
		"nothing":         {apply(), Patience, nothing},
		"other topics":    {apply("other/x/available"), Patience, nothing},
		"available alone": {apply("plant/a/one/available", "plant/a/two/available"), Patience, only},
		"one device may":  {apply("plant/a/one/available", "plant/a/two/info"), Patience, ""},
		"a camera":        {apply("plant/a/one/left/status"), Patience, ""},
		"no connection":   {func(b *Board) { b.Connection(errors.New("gone"), watchNow) }, Patience, ""},
		"may no longer": {func(b *Board) {
			apply("plant/a/one/info")(b)
			b.Connection(nil, watchNow)
		}, Patience, only},
	} {
		b := New("tcp://127.0.0.1:1883", "plant/a")
		b.Connection(nil, watchNow)
		c.comes(b)
		if got := b.Hint(watchNow.Add(c.after)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if table := strings.Join(b.Draw(Style{}, 200, 20, watchNow.Add(c.after)), "\n"); c.want != "" &&
			!strings.Contains(table, c.want) {
			t.Errorf("%s: the table does not say so:\n%s", name, table)
		}
	}
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// FuzzWatch gives a board foreign topics and payloads: nothing that a terminal would obey comes
// out, and no line is wider than the terminal.
func FuzzWatch(f *testing.F) {
	f.Add("edge01/left/result",
		[]byte(`{"label":"\u001b[2J","top":[{"label":"x","p":1e308}],"frame_id":3,"ts":"2026-03-01T12:29:59Z"}`),
		uint8(80), uint8(24))
	f.Add("\x1b]0;title\x07/left/status", []byte("\x1b[31m"), uint8(1), uint8(1))
	f.Add("d/c/event", []byte(`{"event_type":"class_changed","label":"日本語の長いラベル","previous":"\u202e"}`), uint8(30),
		uint8(9))
	f.Add("d/health", []byte(`{"overall":"failed","parts":{"a":{"reason":"\r\n"}}}`), uint8(100), uint8(3))
	f.Add("d/c/classification", []byte{0xff, 0xfe, 0x9b, '3', '1', 'm'}, uint8(60), uint8(20))
	f.Fuzz(func(t *testing.T, topic string, payload []byte, width, height uint8) {
		b := testBoard()
		m := mqtt.Message{Topic: "vggse/" + topic, Payload: payload}
		b.Apply(m, watchNow)
		lines := b.Draw(Style{Colour: true}, int(width), int(height), watchNow)
		if len(lines) > max(1, int(height)) {
			t.Fatalf("%d lines in %d", len(lines), height)
		}
		for _, line := range append(lines, Line("vggse", m)) {
			plain := colours.ReplaceAllString(line, "")
			if i := strings.IndexFunc(plain, func(r rune) bool {
				return r < 0x20 || r >= 0x7f && r < 0xa0 ||
					r == '\u202e'
			}); i >= 0 {
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
