package live

import (
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// A gate that jumps away from where it mostly is stands out in the strip of its block, one that
// stays does not; at most one frame a second is told, each once.
func TestStrips(t *testing.T) {
	m := New([]string{"belt"}, JPEG{})
	if s, err := m.Strips("belt", 0); err != nil || len(s.Blocks) != 0 || len(s.Frames) != 0 {
		t.Errorf("before there is a network: %+v, %v", s, err)
	}
	if _, err := m.Strips("none", 0); err == nil {
		t.Error("strips of a camera that is none")
	}
	err := m.Use(Network{Labels: []string{"a", "b"}, Size: 8, Blocks: []int{2, 1},
		Preprocess: vision.Preprocess{Scale: 1},
		Decide:     func(string) vision.DecideConfig { return vision.DecideConfig{TopK: 1, Confirm: 1} }})
	if err != nil {
		t.Fatal(err)
	}
	s := vision.SignalSizes{Features: 4, Channels: []int{2, 1}}.New()
	d := vision.Decision{Camera: "belt", Top: []vision.Class{{Index: 1}}, Signals: s}
	const frames = 60
	for i := range frames {
		d.Time = m.started.Add(time.Duration(i) * betweenChannels)
		s.Gates[0][0], s.Gates[0][1], s.Gates[1][0] = 0.5+0.02*float32(i%2), 0.25, 0.6-0.02*float32(i%3)
		if i == frames-1 {
			s.Gates[0][0], s.Gates[1][0] = 0.9, 0.1
		}
		m.Observe(&d)
	}
	got, err := m.Strips("belt", 0)
	if err != nil || got.Seen != frames || len(got.Frames) < 6 || len(got.Frames) > 7 {
		t.Fatalf("%d frames of %d seen, %v; want one a second", len(got.Frames), got.Seen, err)
	}
	for i := 1; i < len(got.Frames); i++ {
		if gap := got.Frames[i].Time - got.Frames[i-1].Time; gap < stripEvery.Milliseconds() {
			t.Errorf("two frames %d ms apart", gap)
		}
	}
	if f := got.Frames[0]; f.Index != 1 || f.Unusual[0] != 0 || f.Unusual[1] != 0 || f.Z[1] != 128 {
		t.Errorf("as usual: %+v", f)
	}
	before := got.Frames[len(got.Frames)-1].Time - 1
	u := &m.streams["belt"].channels.usual
	z, unusual := u.scores([]float32{0.9, 0.25, 0.1}, []int{2, 1})
	if z[0] != 255 || z[1] != 128 || z[2] != 1 || unusual[0] != 1 || unusual[1] != 1 {
		t.Errorf("what jumps: %v, unusual %v", z, unusual)
	}
	if again, _ := m.Strips("belt", before); len(again.Frames) != 1 {
		t.Errorf("%d frames after %d, want the last", len(again.Frames), before)
	}
	fresh := newUsual(1)
	fresh.add([]float32{0.5})
	if z, _ := fresh.scores([]float32{0.9}, []int{1}); z[0] != 128 {
		t.Errorf("after one frame: %v, want nothing unusual yet", z)
	}
}
