package mqtt

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt/contract"
	"github.com/vggse/vggse-agent/mqtt/spool"
	"github.com/vggse/vggse-agent/vision"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The result as the contract has it, byte for byte.
func TestResultGolden(t *testing.T) {
	id := testIdentity()
	id.BootID, id.StreamID = "boot", "stream"
	d := decision("cam01")
	at := instant{time.Date(2026, 3, 1, 12, 30, 0, 123456789, time.FixedZone("", 3600)), 42 * time.Second, true}
	got := finish(appendResult(nil, id.opening("vggse.result/1", "cam01"), 7, at, d), false)
	const golden = "testdata/result.json"
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(got) > 1024 {
		t.Errorf("%d bytes, the contract says 1 KiB", len(got))
	}
}

// FuzzPayload gives the hand-written encoder foreign labels and numbers: what it makes is JSON that
// says the same.
func FuzzPayload(f *testing.F) {
	f.Add("gear", float32(0.5), int64(7))
	f.Add("\"\\\x00\n\u2028<é\xff", float32(1e-30), int64(-1))
	f.Add("", float32(math.NaN()), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, label string, p float32, ns int64) {
		id := testIdentity()
		id.Name, id.Model.Name = label, label
		id.fill("stream")
		c := vision.Class{Label: label, Index: 3, Score: p}
		d := &vision.Decision{Top: []vision.Class{c, c}, Stable: c, Before: c,
			Latency: vision.Latency{Total: time.Duration(ns)}}
		at := instant{time.Unix(0, ns), time.Duration(ns), false}
		for _, text := range [][]byte{
			finish(appendResult(nil, id.opening("vggse.result/1", "cam01"), 1, at, d), true),
			finish(appendField(appendEvent(nil, id.opening("vggse.event/1", ""), 2, at, label), "label", label), true),
		} {
			var got struct {
				Label       string
				Redelivered bool
				Top         []struct{ P float64 }
			}
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("%v in %q", err, text)
			}
			var same string
			b, _ := json.Marshal(label)
			json.Unmarshal(b, &same) // invalid UTF-8 is replaced, here as there
			if got.Label != same || !got.Redelivered {
				t.Fatalf("got %+v for %q", got, label)
			}
			if v := float64(p); len(got.Top) > 0 && !math.IsNaN(v) && !math.IsInf(v, 0) &&
				math.Abs(got.Top[0].P-v) > 5.1e-7+1e-6*math.Abs(v) {
				t.Fatalf("score %g is told as %g", v, got.Top[0].P)
			}
		}
	})
}

// A network that knows what its classes look like tells how much a frame looks like them.
func TestResultTellsThePValue(t *testing.T) {
	id := testIdentity()
	id.BootID, id.StreamID = "boot", "stream"
	for p, want := range map[float32]string{0: "", 0.0125: `,"unknown":true,"p_value":0.0125,`,
		0.75: `,"unknown":false,"p_value":0.75,`} {
		d := decision("cam01")
		d.PValue, d.Unknown = p, p > 0 && p < 0.05
		text := finish(appendResult(nil, id.opening("vggse.result/1", "cam01"), 7, instant{time.Unix(1, 0), 1, true},
			d), false)
		if has := strings.Contains(string(text), "p_value"); has != (p > 0) || !strings.Contains(string(text), want) {
			t.Errorf("p %g: %s", p, text)
		}
		m := contract.Message{Topic: "vggse/edge01/cam01/result", QoS: 1, Payload: text}
		if err := judge().Sent(m); err != nil {
			t.Error(err)
		}
	}
}

// A network whose labels do not exclude each other tells all that hold.
func TestResultTellsEveryLabelThatHolds(t *testing.T) {
	id := testIdentity()
	id.BootID, id.StreamID = "boot", "stream"
	d := decision("cam01")
	d.Labels = []vision.Class{{Label: "night", Index: 2, Score: 0.9}, {Label: "car", Score: 0.75}}
	text := finish(appendResult(nil, id.opening("vggse.result/1", "cam01"), 7, instant{time.Unix(1, 0), 1, true}, d),
		false)
	var got struct {
		Labels []struct {
			Label string
			Score float64
		}
	}
	if err := json.Unmarshal(text, &got); err != nil || len(got.Labels) != 2 || got.Labels[0].Label != "night" ||
		math.Abs(got.Labels[1].Score-0.75) > 1e-6 {
		t.Errorf("%v: %+v: %s", err, got, text)
	}
	m := contract.Message{Topic: "vggse/edge01/cam01/result", QoS: 1, Payload: text}
	if err := judge().Sent(m); err != nil {
		t.Error(err)
	}
}

// TestManyLongLabels: of more labels than a record holds the best are told, whole; the longest that
// there may be, written with the most escapes, end nothing.
func TestManyLongLabels(t *testing.T) {
	id := testIdentity()
	id.Name, id.Model.Name = strings.Repeat(`"`, 512), strings.Repeat(`\`, 512)
	id.fill("stream")
	d := decision("cam01")
	d.Top, d.Labels = nil, nil
	for i := range 1000 {
		c := vision.Class{Label: fmt.Sprintf("%04d%s", i, strings.Repeat(`"`, 508)), Index: i, Score: 0.5}
		d.Top, d.Labels = append(d.Top, c), append(d.Labels, c)
	}
	d.Stable, d.Before, d.Changed = d.Top[0], d.Top[1], true
	at := instant{time.Unix(0, 0), 0, false}
	text := finish(appendResult(nil, id.opening("vggse.result/1", "cam01"), 1, at, d), true)
	var got struct {
		Label       string
		Top, Labels []struct{ Label string }
	}
	if err := json.Unmarshal(text, &got); err != nil || len(text) > spool.MaxPayload {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	if got.Label != d.Top[0].Label || len(got.Top) < 20 || len(got.Labels) < 5 {
		t.Errorf("%d classes in top, %d labels", len(got.Top), len(got.Labels))
	}
	for i, c := range got.Top {
		if c.Label != d.Top[i].Label {
			t.Errorf("top[%d] is %.9s…", i, c.Label)
		}
	}
	l, err := NewLink(testConfig("tcp://127.0.0.1:1"), testIdentity(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(t.Context(), d); err != nil {
		t.Error(err)
	}
}
