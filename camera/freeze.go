package camera

import (
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// ErrDark means that a camera delivers, but nothing can be seen. To open it again would not help.
var ErrDark = errors.New("too dark")

// darkness is the mean of the samples, of 255, below which a picture shows nothing: a covered lens
// gives 0 to 1, black of limited range 0, a dim room 10 and more.
const darkness = 2

// probes are how many places of a picture are looked at first.
const probes = 1024

// Watch looks at the pictures of a live camera and finds what no error tells: the same picture
// again and again, and darkness. It outlives the openings of its camera, so that a picture is known
// again. It is for one goroutine.
type Watch struct {
	frozen, dark time.Duration // for how long before it counts; 0: not looked for

	seen    []byte // the probes of the last picture
	sum     uint64 // of all its bytes; 0: not needed so far
	seed    maphash.Seed
	since   time.Time // of the first picture like the last
	dimness time.Time // of the first dark picture in a row; zero: the last was not
	repeats int       // pictures like it, in a row
}

// Watch returns what looks at the pictures of c; nil where c is no live camera, or nothing is
// looked for.
func (c *Config) Watch() *Watch {
	u, err := parse(c.Source)
	if err != nil || u.Scheme == "file" || u.Scheme == "demo" || c.Frozen == 0 && c.Dark == 0 {
		return nil
	}
	return &Watch{frozen: c.Frozen, dark: c.Dark, seed: maphash.MakeSeed()}
}

// Look takes the next picture. An ErrStalled says that it has been the same, byte for byte, for too
// long, an ErrDark that it has been dark for too long. A picture that differs at one of the probes
// costs a few microseconds; of one that does not all bytes are summed up. Nothing is allocated
// after the first.
func (w *Watch) Look(f *vision.Frame) error {
	if err := w.still(f); err != nil {
		return err
	}
	if w.dark == 0 || !dark(f) {
		w.dimness = time.Time{}
		return nil
	}
	if w.dimness.IsZero() {
		w.dimness = f.Time
	}
	if lasted := f.Time.Sub(w.dimness); lasted >= w.dark {
		return fmt.Errorf("camera: %w: nothing to be seen for %.0f s: is the lens covered, the light off? (dark: 0 "+
			"stops this)", ErrDark, lasted.Seconds())
	}
	return nil
}

func (w *Watch) still(f *vision.Frame) error {
	if w.frozen == 0 {
		return nil
	}
	if !w.same(f) {
		w.since, w.repeats = f.Time, 0
		return nil
	}
	w.repeats++
	if lasted := f.Time.Sub(w.since); lasted >= w.frozen && w.repeats > 1 {
		return fmt.Errorf("camera: %w: the same picture, byte for byte, for %.0f s (frozen: 0 stops this)", ErrStalled,
			lasted.Seconds())
	}
	return nil
}

// same reports whether f is the picture before, and keeps what is needed to ask this of the next
// one.
func (w *Watch) same(f *vision.Frame) bool {
	pix, n, differs := f.Pix[:f.Stride*f.Height], 0, false
	for i := range probed(pix) {
		if n == len(w.seen) {
			w.seen = append(w.seen, ^pix[i])
		}
		if w.seen[n] != pix[i] {
			w.seen[n], differs = pix[i], true
		}
		n++
	}
	if differs || n != len(w.seen) {
		w.seen, w.sum = w.seen[:n], 0
		return false
	}
	before := w.sum
	w.sum = maphash.Bytes(w.seed, pix)
	return before == 0 || w.sum == before // the one before was not summed up: the next one will tell
}

// probed are the places of the probes: their distance is odd, so that columns and colours take
// turns.
func probed(pix []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		step := max(len(pix)/probes, 1) | 1
		for i := 0; i < len(pix) && yield(i); i += step {
		}
	}
}

// dark reports whether the mean of the probes is below darkness.
func dark(f *vision.Frame) bool {
	pix := f.Pix[:f.Stride*f.Height]
	sum, n := 0, 0
	for i := range probed(pix) {
		sum += int(pix[i])
		n++
	}
	return n > 0 && sum < darkness*n
}
