package live

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// TestChannels: of frames a tenth of a second apart every second is kept, at most keptChannels of
// them, in order, and a network without gates forgets them.
func TestChannels(t *testing.T) {
	m := New([]string{"belt"}, JPEG{})
	network := Network{Labels: []string{"a", "b"}, Size: 8, Blocks: []int{2, 1},
		Preprocess: vision.Preprocess{Scale: 1}, Decide: func(string) vision.DecideConfig {
			return vision.DecideConfig{TopK: 1, Confirm: 1}
		}}
	if err := m.Use(network); err != nil {
		t.Fatal(err)
	}
	s := vision.SignalSizes{Features: 4, Channels: []int{2, 1}}.New()
	d := vision.Decision{Camera: "belt", Top: []vision.Class{{Index: 1}}, Signals: s}
	for i := range 100 {
		d.Time = m.started.Add(time.Hour + time.Duration(i)*betweenChannels/2)
		s.Gates[0][0], s.Gates[1][0], s.Squeeze[0][1] = float32(i), 0.5, float32(math.Inf(1))
		m.Observe(&d)
	}
	got, err := m.Channels("belt", 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
	if len(got.Frames) != keptChannels || !slices.Equal(got.Blocks, []int{2, 1}) || got.Why != "" {
		t.Fatalf("%d frames of blocks %v, %q; want %d of [2 1]", len(got.Frames), got.Blocks, got.Why, keptChannels)
	}
	for i, f := range got.Frames {
		want := float32(98 - 2*(keptChannels-1-i))
		if !slices.Equal(f.Gates, []float32{want, 0, 0.5}) || f.Index != 1 || f.Squeeze[1] != 0 {
			t.Errorf("frame %d: gates %v, squeeze %v, class %d; want [%g 0 0.5]", i, f.Gates, f.Squeeze, f.Index, want)
		}
	}
	if newest, _ := m.Channels("belt", 2, 0); len(newest.Frames) != 2 || newest.Frames[1].Gates[0] != 98 {
		t.Errorf("the newest two are %+v", newest.Frames)
	}
	last := got.Frames[keptChannels-2].Time
	if later, _ := m.Channels("belt", 100, last); len(later.Frames) > 2 || len(later.Frames) < 1 {
		t.Errorf("%d frames came after the last but one", len(later.Frames))
	}
	if n := testing.AllocsPerRun(100, func() { d.Time = d.Time.Add(time.Second); m.Observe(&d) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	network.Blocks, network.NoBlocks = nil, "it has none"
	if err := m.Use(network); err != nil {
		t.Fatal(err)
	}
	m.Observe(&d)
	if got, _ := m.Channels("belt", 9, 0); len(got.Frames) != 0 || got.Why != "it has none" {
		t.Errorf("without blocks: %+v", got)
	}
}
