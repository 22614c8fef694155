package camera

import (
	"bytes"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// The test pattern needs no library: it has the size and the rate asked for, is turned, moves, and
// allocates nothing.
func TestPattern(t *testing.T) {
	s := mustOpen(t, Config{Source: "test://?width=63&height=48&fps=100"})
	if i := s.Info(); !i.Live || i.FPS != 100 {
		t.Errorf("%+v", i)
	}
	var f vision.Frame
	var before []byte
	start := time.Now()
	for range 64 {
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		if f.Width != 63 || f.Height != 48 || bytes.Equal(f.Pix, before) {
			t.Fatalf("%d×%d, like the one before: %v", f.Width, f.Height, bytes.Equal(f.Pix, before))
		}
		before = append(before[:0], f.Pix...)
	}
	if took := time.Since(start); took < 63*10*time.Millisecond {
		t.Errorf("64 pictures of 100 a second took %s", took)
	}
	if first, last := [3]byte(f.Pix), [3]byte(f.Pix[3*62:]); first != patternBars[0] || last != patternBars[6] {
		t.Errorf("the bars go from %v to %v", first, last)
	}
	if n := testing.AllocsPerRun(20, func() { s.Read(t.Context(), &f) }); n > 0 {
		t.Errorf("%v allocations a picture", n)
	}
	s = mustOpen(t, Config{Source: "test://?width=64&height=48&flip=clockwise"})
	if err := s.Read(t.Context(), &f); err != nil || f.Width != 48 || f.Height != 64 ||
		[3]byte(f.Pix[3*47:]) != patternBars[0] {
		t.Errorf("turned: %d×%d, %v", f.Width, f.Height, err)
	}
}
