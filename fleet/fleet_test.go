package fleet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt"
)

var (
	noon   = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	target = Target{"parts", 8, strings.Repeat("8", 64)}
	old    = Target{"parts", 7, strings.Repeat("7", 64)}
	plan   = Plan{[]string{"1", "10%", "100%"}, 30 * time.Minute, time.Minute, "2%"}
)

// group are n devices of line3 that run the old release.
func group(n int) (devices []*Device, ids []string) {
	for i := range n {
		d := &Device{ID: fmt.Sprintf("edge-%04d", i), Groups: []string{"line3"}, Online: true, Health: mqtt.OK,
			Name: old.Name, Release: old.Release, Bundle: old.Digest, State: mqtt.UpdateIdle}
		devices, ids = append(devices, d), append(ids, d.ID)
	}
	return devices, ids
}

// asked are the devices that the rollout has reached.
func asked(r *Rollout, devices []*Device) (all []*Device) {
	for _, d := range devices {
		if Draw(r.ID, d.ID) <= r.UpTo {
			all = append(all, d)
		}
	}
	return all
}

func move(devices []*Device) {
	for _, d := range devices {
		d.Bundle, d.Release = target.Digest, target.Release
	}
}

// TestWaves: each wave begins when the one before has moved and its hold is over, and has the devices of
// the one before in it.
func TestWaves(t *testing.T) {
	devices, ids := group(200)
	r := newRollout(target, plan, &old, 1, ids, noon)
	now := noon
	for i, want := range []int{1, 20, 200} {
		reached := asked(&r, devices)
		if len(reached) != want || r.Wave != i {
			t.Fatalf("wave %d asks %d devices, want %d", r.Wave, len(reached), want)
		}
		now = now.Add(32 * time.Minute)
		for _, d := range reached[:len(reached)-1] {
			d.Bundle = target.Digest
		}
		last := reached[len(reached)-1]
		last.Bundle, last.Wanted, last.State = old.Digest, target, mqtt.UpdatePulling
		if next, h := r.decide(devices, now); next.Wave != i || next.Done || h != nil {
			t.Errorf("wave %d: one is on its way, and it is %+v, %+v", i, next, h)
		}
		move(reached)
		if next, h := r.decide(devices, now.Add(-2*time.Minute)); next.Wave != i || next.Done || h != nil {
			t.Errorf("wave %d: before the hold is over: %+v, %+v", i, next, h)
		}
		next, h := r.decide(devices, now)
		if h != nil || next.Wave != min(i+1, 2) || next.Done != (i == 2) {
			t.Fatalf("wave %d: over, and it is %+v, %+v", i, next, h)
		}
		for _, d := range reached {
			if Draw(next.ID, d.ID) > next.UpTo {
				t.Errorf("wave %d no longer asks %s", i+1, d.ID)
			}
		}
		r = next
	}
}

// TestStopAt: a rollout is halted as soon as too many of those asked have failed, whichever way.
func TestStopAt(t *testing.T) {
	late := noon.Add(time.Hour)
	for _, c := range []struct {
		what   string
		change func(d *Device)
		now    time.Time
		want   string // first failed; empty: it goes on
	}{
		{"refused", func(d *Device) {
			d.Wanted, d.State, d.Reason = target, mqtt.UpdateFailed, "verify"
		}, noon, "verify"},
		{"not well", func(d *Device) { d.Bundle, d.sick, d.Trouble = target.Digest, true, "model: NaN" }, noon, "NaN"},
		{"away, and there is time", func(d *Device) { d.Online = false }, noon, ""},
		{"away for the hold", func(d *Device) { d.Online = false }, late, "offline"},
		{"moved, then away", func(d *Device) { d.Bundle, d.Online = target.Digest, false }, late, "offline since"},
		{"does nothing", func(d *Device) {}, late, "has not begun"},
		{"on its way", func(d *Device) { d.Wanted, d.State = target, mqtt.UpdatePulling }, late, ""},
		{"has to make good", func(d *Device) { d.Bundle, d.State = target.Digest, mqtt.UpdateProbation }, late, ""},
		{"failed at another release", func(d *Device) { d.Wanted, d.State = old, mqtt.UpdateFailed }, noon, ""},
	} {
		devices, ids := group(100)
		r := newRollout(target, Plan{[]string{"100%"}, 30 * time.Minute, time.Minute, "2%"}, nil, 1, ids, noon)
		move(devices)
		for i := range 3 {
			devices[i].Bundle = old.Digest
			c.change(devices[i])
			_, h := r.decide(devices, c.now)
			if halted := h != nil; halted != (c.want != "" && i == 2) {
				t.Errorf("%s: %d of 100 failed, halted: %v (%+v)", c.what, i+1, halted, h)
			}
			if h != nil && (!strings.Contains(h.Reason, c.want) || !strings.Contains(h.Reason, "3 of 100")) {
				t.Errorf("%s: %q does not say %q", c.what, h.Reason, c.want)
			}
		}
	}
}

// TestDesired: what the group shall run follows from rollout and halt, and each device finds itself in
// it or not.
func TestDesired(t *testing.T) {
	_, ids := group(50)
	r := newRollout(target, plan, &old, 1, ids, noon)
	d := desired(&r, nil)
	if n := countAsked(&d, ids); n != 1 {
		t.Errorf("%d are asked, want 1", n)
	}
	halt := &Halt{haltSchema, r.ID, "bad", false, noon.Format(time.RFC3339)}
	if d = desired(&r, halt); !d.Halted || countAsked(&d, ids) != 0 {
		t.Errorf("halted: %+v", d)
	}
	halt.Back = true
	if d = desired(&r, halt); d.Target != old || countAsked(&d, ids) != 50 || d.ID == r.ID {
		t.Errorf("back: %+v", d)
	}
	halt.ID = "another"
	if d = desired(&r, halt); d.Target != target || d.Halted {
		t.Errorf("halt of another rollout: %+v", d)
	}
	d.Spread = 60
	longest := time.Duration(0)
	for _, id := range ids {
		wait := d.Wait(id, noon)
		longest = max(longest, wait)
		if wait > time.Minute || d.Wait(id, noon.Add(wait)) != 0 || d.Wait(id, noon.Add(-time.Hour)) != wait {
			t.Errorf("%s waits %s", id, wait)
		}
	}
	if longest < 45*time.Second {
		t.Errorf("50 devices begin within %s of 60 s", longest)
	}
}

func countAsked(d *Desired, ids []string) (n int) {
	for _, id := range ids {
		if d.Asks(id) {
			n++
		}
	}
	return n
}

// TestParse: what is retained is read strictly.
func TestParse(t *testing.T) {
	_, ids := group(3)
	r := newRollout(target, plan, &old, 1, ids, noon)
	good := string(encode(desired(&r, nil)))
	if _, err := ParseDesired([]byte(good)); err != nil {
		t.Error(err)
	}
	if got, err := parseRollout(encode(r)); err != nil || !slices.Equal(encode(got), encode(r)) {
		t.Errorf("%+v, %v", got, err)
	}
	for from, to := range map[string]string{
		`"halted":false`: `"halted":false,"from":"registry.example"`, desiredSchema: "vggse.desired/2",
		`"release":8`: `"release":0`, `"name":"parts"`: `"name":"../parts"`, `"spread_s":60`: `"spread_s":-1`,
		`"digest":"8`: `"digest":"x`, `"since":"2026`: `"since":"x`, `"id":"`: `"id":0,"x":"`, `}`: `}{}`,
	} {
		if !strings.Contains(good, from) {
			t.Fatalf("%s is not in %s", from, good)
		}
		if d, err := ParseDesired([]byte(strings.Replace(good, from, to, 1))); err == nil {
			t.Errorf("%s is taken: %+v", to, d)
		}
	}
	if _, err := ParseDesired([]byte(good + strings.Repeat(" ", payloadLimit))); err == nil {
		t.Error("a long one is taken")
	}
}

// TestPlan: a plan that cannot be is refused, naming the flag.
func TestPlan(t *testing.T) {
	for _, c := range []struct {
		change func(p *Plan)
		want   string
	}{
		{func(p *Plan) {}, ""},
		{func(p *Plan) { p.Waves = nil }, "--waves: wants at least one"},
		{func(p *Plan) { p.Waves = []string{"10%", "50%"} }, "the last must be 100%"},
		{func(p *Plan) { p.Waves = []string{"50%", "10%", "100%"} }, "50% comes before 10%"},
		{func(p *Plan) { p.Waves = []string{"ten", "100%"} }, `--waves: "ten" is neither`},
		{func(p *Plan) { p.Waves = []string{"1.5", "100%"} }, `"1.5" is neither`},
		{func(p *Plan) { p.StopAt = "-1" }, `--stop-at: "-1" is neither`},
		{func(p *Plan) { p.StopAt = "NaN" }, `"NaN" is neither`},
		{func(p *Plan) { p.Hold = -1 }, "--hold"},
		{func(p *Plan) { p.Spread = 48 * time.Hour }, "--spread"},
	} {
		p := plan
		c.change(&p)
		err := p.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", p, err, c.want)
		}
	}
}

// TestBoard: devices are made of what the broker tells, and what is no device's is passed over.
func TestBoard(t *testing.T) {
	b := newBoard("plant/vggse/")
	for _, m := range []struct{ topic, payload string }{
		{"plant/vggse/e1/available", "online"}, {"plant/vggse/e2/available", "offline"}, {"plant/vggse/e3/info", "{"},
		{"plant/vggse/e1/info", `{"model":{"name":"parts","version":"2"},"groups":["line3"],
			"release":{"signature_required":true,"bundle":"ab","name":"parts","number":8,"signed_by":"F"}}`},
		{"plant/vggse/e1/health", `{"overall":"degraded","parts":{"cameras":{"status":"ok"},
			"model":{"status":"degraded","reason":"refused"}}}`},
		{"plant/vggse/e1/update", `{"state":"failed","name":"parts","release":9,"reason":"no"}`},
	} {
		if !b.take(mqtt.Message{Topic: m.topic, Payload: []byte(m.payload)}) {
			t.Errorf("%s is none", m.topic)
		}
	}
	for _, topic := range []string{"plant/vggse-fleet/line3/model", "plant/vggse/e 1/info"} {
		if b.take(mqtt.Message{Topic: topic}) {
			t.Errorf("%s is taken for a device's", topic)
		}
	}
	all, line := b.devices(""), b.devices("line3")
	if len(all) != 3 || len(line) != 1 {
		t.Fatalf("%d devices, %d of line3, want 3 and 1", len(all), len(line))
	}
	got, err := json.Marshal(line[0])
	want := `{"device":"e1","groups":["line3"],"online":true,"health":"degraded","trouble":"model: refused",` +
		`"model":"parts 2","name":"parts","release":8,"bundle":"ab","signed_by":"F","state":"failed","reason":"no"}`
	if err != nil || string(got) != want || !line[0].sick {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
