package dataset

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// scene draws a frame of soft blobs, another for every seed.
func scene(seed uint64) *vision.Frame {
	r, f := rand.New(rand.NewPCG(seed, 3)), &vision.Frame{}
	f.Resize(96, 64)
	var cells [8][12]float64
	for y := range cells {
		for x := range cells[y] {
			cells[y][x] = 40 + 170*r.Float64()
		}
	}
	for y := range f.Height {
		for x := range f.Width {
			for c := range 3 {
				f.Pix[y*f.Stride+3*x+c] = byte(cells[y/8][x/8] + float64(5*c))
			}
		}
	}
	return f
}

func fill(f *vision.Frame, value func(i int) byte) *vision.Frame {
	for i := range f.Pix {
		f.Pix[i] = value(i)
	}
	return f
}

func TestDistrust(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	many := func(n int, draw func(i int) *vision.Frame, label func(i int) int) []Summary {
		summaries := make([]Summary, n)
		for i := range summaries {
			summaries[i] = Summarize(draw(i))
			summaries[i].Class, summaries[i].Guess = label(i), i%4
		}
		return summaries
	}
	clean := func(i int) *vision.Frame { return scene(uint64(i)) }
	mixed := func(i int) int { return i % 4 }
	tests := []struct {
		name      string
		summaries []Summary
		want      string // "" is clean; a check, with ! where it is refused
	}{
		{"clean", many(200, clean, mixed), ""},
		{"clean, not labelled", many(200, clean, func(int) int { return -1 }), ""},
		{"few", many(40, clean, mixed), "few"},
		{"one class", many(200, clean, func(int) int { return 2 }), "one class"},
		{"half of the classes", many(200, clean, func(i int) int { return i % 2 }), "absent classes"},
		{"a still scene", many(200, func(i int) *vision.Frame { return scene(uint64(i / 4)) }, mixed),
			"near-duplicates"},
		{"black", many(200, func(int) *vision.Frame { return fill(scene(1), func(int) byte { return 3 }) }, mixed),
			"!flat"},
		{"noise", many(200, func(int) *vision.Frame {
			return fill(scene(1),
				func(int) byte { return byte(r.IntN(256)) })
		}, mixed), "!noise"},
		{"night", many(200, func(i int) *vision.Frame {
			f := scene(uint64(i))
			return fill(f, func(k int) byte { return f.Pix[k] / 14 })
		}, mixed), "!dark"},
	}
	for _, tt := range tests {
		found := Audit(tt.summaries, 4)
		if tt.want == "" {
			if len(found) != 0 {
				t.Errorf("%s: a false alarm: %+v", tt.name, found)
			}
			continue
		}
		check, refused := strings.CutPrefix(tt.want, "!")
		if len(found) == 0 || found[0].Check != check || (found[0].Severity == "refuse") != refused ||
			found[0].Evidence == "" || found[0].Cure == "" {
			t.Errorf("%s: got %+v, want %s", tt.name, found, tt.want)
		}
	}
}
