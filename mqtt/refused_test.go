package mqtt

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// A message that the broker refuses by closing does not stop the others for ever.
func TestRefusedMessage(t *testing.T) {
	r, addr := startRecorder(t)
	way := startProxy(t, addr)
	cfg := testConfig(way.url())
	cfg.Publish = Policy{Every: true}
	told := new(logs)
	l, _ := runLink(t, cfg, slog.New(slog.NewTextHandler(told, nil)))
	d := decision("cam01")
	d.Top = nil
	for i := range 3000 { // more than a record holds: the last are left out
		d.Top = append(d.Top, vision.Class{Label: strings.Repeat("x", 300), Index: i})
	}
	if err := l.Publish(t.Context(), d); err != nil {
		t.Error(err)
	}
	way.poison([]byte(`"frame_id":666`))
	for frame := range uint64(40) {
		d := decision("cam01")
		d.Frame = frame
		if frame == 10 {
			d.Frame = 666
		}
		if err := l.Publish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, hang, "all others arrive", func() bool { return l.Waiting() == 0 })
	events := r.events()
	got := make(map[uint64]bool)
	r.mu.Lock()
	for _, a := range r.all {
		got[a.seq] = true
	}
	r.mu.Unlock()
	for seq := uint64(1); seq <= 41; seq++ {
		if got[seq] == (seq == 12) {
			t.Errorf("record %d arrived: %v", seq, got[seq])
		}
	}
	if len(events) != 1 || field[string](t, events[0], "reason") != "refused" ||
		field[float64](t, events[0], "from_seq") != 12 {
		t.Errorf("events: %v", events)
	}
	if !strings.Contains(told.String(), "given up") {
		t.Errorf("the log does not say it: %s", told)
	}
}
