package camera

import (
	"errors"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/vision"
)

// film makes the pictures that a Watch sees: one letter each, 500 ms apart. Small letters are
// noisy, the same letter twice is the same picture, "." is black.
func film(w *Watch, letters string) (verdicts string) {
	start := time.Now()
	var f vision.Frame
	f.Resize(320, 180)
	for i, letter := range letters {
		for j := range f.Pix {
			f.Pix[j] = byte(j * int(letter))
		}
		if letter == '.' {
			clear(f.Pix)
		}
		if letter == '!' { // differs from 'A' in a byte that is no probe
			for j := range f.Pix {
				f.Pix[j] = byte(j * 'A')
			}
			f.Pix[1]++
		}
		f.Time = start.Add(time.Duration(i) * 500 * time.Millisecond)
		switch err := w.Look(&f); {
		case err == nil:
			verdicts += " "
		case errors.Is(err, ErrStalled) && errors.Is(err, ErrLost):
			verdicts += "S"
		case errors.Is(err, ErrDark) && !errors.Is(err, ErrLost):
			verdicts += "D"
		}
	}
	return verdicts
}

func TestWatch(t *testing.T) {
	for _, tt := range []struct {
		name, letters, want string
		frozen, dark        time.Duration
	}{
		{"moving", "ABCDEFG", "       ", 1 * time.Second, time.Second},
		{"frozen", "ABBBBBB", "     SS", 2 * time.Second, 0},
		{"frozen, then not", "AAAAAABA", "    SS  ", 2 * time.Second, 0},
		{"one byte in a picture is a difference", "AA!A!AA!", "        ", time.Second, 0},
		{"not looked for", "AAAAAAAA........", "                ", 0, 0},
		{"dark", "A....A", "   DD ", 0, time.Second},
		{"dark and light", "A..A..A", "       ", 0, time.Second},
	} {
		c := Config{Source: "/dev/video0", Frozen: tt.frozen, Dark: tt.dark}
		w := c.Watch()
		if tt.frozen+tt.dark == 0 {
			if w != nil {
				t.Errorf("%s: somebody watches", tt.name)
			}
			continue
		}
		if got := film(w, tt.letters); got != tt.want {
			t.Errorf("%s: %q gives %q, want %q", tt.name, tt.letters, got, tt.want)
		}
	}
	for _, source := range []string{"demo://", "a.mp4", "file://pics"} {
		if c := (Config{Source: source, Frozen: time.Second, Dark: time.Second}); c.Watch() != nil {
			t.Errorf("%s is watched", source)
		}
	}
}

// Looking costs microseconds and no memory.
func TestWatchDoesNotAllocate(t *testing.T) {
	c := Config{Source: "/dev/video0", Frozen: time.Minute, Dark: time.Minute}
	w, scene := c.Watch(), demo.NewScene(1, 640, 360)
	var frames [2]vision.Frame
	scene.Render(1, &frames[0])
	scene.Render(9, &frames[1])
	w.Look(&frames[0])
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		i++
		if err := w.Look(&frames[i/2%2]); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame, want 0", n)
	}
}
