package mqtt

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// A label that changes all the time is summed up every five seconds, and the last one always comes;
// one that changes now and then is told at once.
func TestSummaryRate(t *testing.T) {
	o := newOutbox(nil)
	start := time.Unix(1000, 0)
	s := summary{state: o.add("t", 1, true), label: "unknown", since: start,
		limit: bucket{rate: summaryRate, burst: summaryBurst}}
	told := 0
	look := func(now time.Time) {
		before := s.state.version
		s.tell(o, now)
		told += int(s.state.version - before)
	}
	at := func(label string, now time.Time) {
		d := &vision.Decision{Stable: vision.Class{Label: label, Score: 0.9}}
		before := s.state.version
		s.note(d, now)
		s.tell(o, now)
		told += int(s.state.version - before)
	}
	now := start
	for i := range 3600 * 4 { // an hour, four changes a second
		now = start.Add(time.Duration(i) * time.Second / 4)
		at([]string{"bolt", "nut"}[i%2], now)
	}
	if told < 700 || told > 740 {
		t.Errorf("%d summaries in an hour", told)
	}
	at("gear", now.Add(time.Second/4))
	for i := range 12 {
		look(now.Add(time.Duration(i) * time.Second))
	}
	var last struct {
		Label string    `json:"label"`
		P     float64   `json:"p"`
		Since time.Time `json:"since"`
	}
	if err := json.Unmarshal(s.state.payload, &last); err != nil || last.Label != "gear" || last.P != 0.9 ||
		!last.Since.Equal(now.Add(time.Second/4)) {
		t.Errorf("the last summary is %s (%v)", s.state.payload, err)
	}
	told = 0
	for i := range 60 { // a change each minute
		at([]string{"bolt", "nut"}[i%2], now.Add(time.Duration(i+1)*time.Minute))
	}
	if told != 60 {
		t.Errorf("of 60 changes %d came at once", told)
	}
}

// Who ends says so of every camera: no retained status says online of a device that was stopped.
func TestFarewell(t *testing.T) {
	m := startMosquitto(t)
	e := listen(t, m.port)
	l, stop := runLink(t, testConfig(m.url()), quiet())
	l.CameraStatus("cam01", CameraOnline)
	l.CameraStatus("cam02", CameraDisabled)
	publish(t, l, "cam01", "gear", 1)
	eventually(t, hang, "told", func() bool {
		return e.last("vggse/edge01/cam01/status") == CameraOnline &&
			strings.Contains(e.last("vggse/edge01/cam01/summary"), `"label":"gear"`)
	})
	stop()
	late := listen(t, m.port)
	eventually(t, hang, "stopped", func() bool { return late.last("vggse/edge01/available") == Stopped })
	eventually(t, hang, "all retained", func() bool { return late.last("vggse/edge01/cam02/status") != "" })
	if got := late.last("vggse/edge01/cam01/status"); got != CameraOffline {
		t.Errorf("cam01 is %s", got)
	}
	if got := late.last("vggse/edge01/cam02/status"); got != CameraDisabled {
		t.Errorf("cam02 is %s", got)
	}
}
