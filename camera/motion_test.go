package camera

import (
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// scene is a grey picture with some noise and, where it is wanted, a bright square of a twentieth
// of the width.
func scene(f *vision.Frame, seed int, square bool) {
	f.Resize(640, 360)
	state := uint32(seed*2654435761 + 1)
	for i := range f.Pix {
		state = state*1664525 + 1013904223
		f.Pix[i] = byte(100 + int(state>>24)%11)
	}
	if square {
		for y := 100; y < 132; y++ {
			for x := 200; x < 232; x++ {
				f.Pix[y*f.Stride+3*x+1] = 220
			}
		}
	}
}

func TestMotion(t *testing.T) {
	m := NewMotion(0.03, 3, 20*time.Second)
	var f vision.Frame
	start := time.Now()
	frame := 0
	show := func(frames int, square bool) (classified int) {
		for range frames {
			scene(&f, frame, square)
			f.Time = start.Add(time.Duration(frame) * 100 * time.Millisecond)
			if m.Moved(&f, false) {
				classified++
			}
			frame++
		}
		return classified
	}
	if n := show(50, false); n != 10 {
		t.Errorf("a still scene: %d of the first 50 frames were classified, want those of the first second", n)
	}
	if n := show(20, true); n != 10 {
		t.Errorf("something came to rest: %d of 20 frames were classified, want 10", n)
	}
	if n := show(200, true); n != 2 {
		t.Errorf("20 s of a still scene: %d frames were classified, want one each 10 s", n)
	}
	if n := show(1, false); n != 1 {
		t.Error("what goes away was not seen")
	}
	if n := testing.AllocsPerRun(10, func() { m.Moved(&f, false) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// A slow camera still gives the decider the frames that it wants.
func TestMotionConfirms(t *testing.T) {
	m := NewMotion(0.03, 3, 0)
	var f vision.Frame
	classified := 0
	for i := range 10 {
		scene(&f, i, false)
		f.Time = time.Now().Add(time.Duration(i) * 5 * time.Second)
		if m.Moved(&f, false) {
			classified++
		}
	}
	if classified != 5 { // four for the decider, one after half a minute
		t.Errorf("%d of 10 frames, 5 s apart, were classified, want 5", classified)
	}
}

func BenchmarkMotion(b *testing.B) {
	m := NewMotion(0.03, 3, 0)
	var f vision.Frame
	f.Resize(1280, 720)
	for b.Loop() {
		m.Moved(&f, false)
	}
}

// Another network has seen nothing yet, however still the scene is.
func TestAnotherNetworkWakes(t *testing.T) {
	m := NewMotion(0.05, 1, time.Hour)
	var f vision.Frame
	f.Resize(64, 36)
	start := time.Now()
	for i, want := range []bool{true, true, false, false, true, true, false} {
		f.Time = start.Add(time.Duration(i) * 2 * time.Second)
		if got := m.Moved(&f, i == 4); got != want {
			t.Errorf("frame %d is classified: %t, want %t", i, got, want)
		}
	}
}
