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
	fresh := newUsual(1, nil)
	fresh.add([]float32{0.5})
	if z, _ := fresh.scores([]float32{0.9}, []int{1}); z[0] != 128 {
		t.Errorf("after one frame: %v, want nothing unusual yet", z)
	}
}

// Where the pictures of the calibration are known they say what is usual, from the first frame on and
// whatever the frames show; those of other blocks say nothing. They are asked for when somebody looks,
// once for all streams, while frames come in.
func TestStripsOfCalibration(t *testing.T) {
	m := New([]string{"belt", "door"}, JPEG{})
	s := vision.SignalSizes{Features: 4, Channels: []int{2}}.New()
	s.Gates[0][0], s.Gates[0][1] = 0.6, 0.6
	frame := func(at time.Duration) {
		for _, camera := range m.Streams() {
			m.Observe(&vision.Decision{Camera: camera, Time: m.started.Add(at), Top: []vision.Class{{}}, Signals: s})
		}
	}
	for _, tt := range []struct {
		name    string
		usual   Usual
		z       [2]byte
		unusual int
	}{
		{"of these channels", Usual{Pictures: 50, Middle: []float32{0.5, 0.5}, Spread: []float32{0.1, 0.01}},
			[2]byte{160, 255}, 1},
		{"of others", Usual{Pictures: 9, Middle: []float32{0}, Spread: []float32{1}}, [2]byte{128, 128}, 0},
		{"cannot be read", Usual{}, [2]byte{128, 128}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			err := m.Use(Network{Labels: []string{"a"}, Size: 8, Blocks: []int{2},
				Preprocess: vision.Preprocess{Scale: 1},
				Decide:     func(string) vision.DecideConfig { return vision.DecideConfig{TopK: 1, Confirm: 1} },
				Usual: func() Usual {
					asked++
					frame(2 * time.Second) // waits for nobody
					return tt.usual
				}})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 2 * usualLeast {
				frame(time.Duration(i) * time.Millisecond)
			}
			if asked != 0 {
				t.Error("asked while nobody looks")
			}
			for _, camera := range append(m.Streams(), m.Streams()...) {
				got, err := m.Strips(camera, 0)
				if err != nil || len(got.Frames) != 2 {
					t.Fatalf("%+v, %v", got, err)
				}
				f := got.Frames[1]
				if got.Pictures != 50*tt.unusual || [2]byte(f.Z) != tt.z || f.Unusual[0] != tt.unusual {
					t.Errorf("%s: %+v of %+v, want %v and %d unusual", camera, f, got, tt.z, tt.unusual)
				}
			}
			if asked != 1 {
				t.Errorf("asked %d times, want once", asked)
			}
			if before := m.streams["belt"].channels.usual.frames; tt.unusual == 0 {
				frame(3 * time.Second)
				if m.streams["belt"].channels.usual.frames != before+1 {
					t.Error("where pictures do not tell, frames do from then on")
				}
			}
		})
	}
	decide := func(string) vision.DecideConfig { return vision.DecideConfig{TopK: 1, Confirm: 1} }
	err := m.Use(Network{Labels: []string{"a"}, Size: 8, Blocks: []int{2}, Decide: decide,
		Usual: func() Usual {
			if err := m.Use(Network{Labels: []string{"a"}, Size: 8, Blocks: []int{1}, Decide: decide}); err != nil {
				t.Error(err)
			}
			return Usual{Pictures: 50, Middle: []float32{0.5, 0.5}, Spread: []float32{0.1, 0.01}}
		}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Strips("belt", 0); err != nil || got.Pictures != 0 || len(got.Blocks) != 1 {
		t.Errorf("a network that was changed meanwhile: %+v, %v", got, err)
	}
}
