package demo

import (
	"bytes"
	"flag"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

var update = flag.Bool("update", false, "write the goldens anew")

func TestRenderIsDeterministicInAnyOrder(t *testing.T) {
	var a, b vision.Frame
	forward, backward := NewScene(7, 320, 180), NewScene(7, 320, 180)
	frames := map[uint64][]byte{}
	for n := uint64(0); n < 300; n += 20 {
		forward.Render(n, &a)
		frames[n] = bytes.Clone(a.Pix)
	}
	for n := 280; n >= 0; n -= 20 {
		backward.Render(uint64(n), &b)
		if !bytes.Equal(b.Pix, frames[uint64(n)]) {
			t.Fatalf("frame %d differs when rendered after later ones", n)
		}
	}
	if bytes.Equal(frames[0], frames[20]) {
		t.Error("frames 0 and 20 are equal: nothing moves")
	}
	NewScene(8, 320, 180).Render(0, &b)
	if bytes.Equal(b.Pix, frames[0]) {
		t.Error("seeds 7 and 8 show the same picture")
	}
}

func TestRenderSizesAndMetadata(t *testing.T) {
	for _, size := range [][2]int{{64, 64}, {320, 180}, {641, 359}, {1920, 1080}} {
		f := vision.Frame{Camera: "line", Seq: 5}
		NewScene(3, size[0], size[1]).Render(12, &f)
		if f.Width != size[0] || f.Height != size[1] || len(f.Pix) != 3*size[0]*size[1] {
			t.Errorf("%v: got %d×%d with %d bytes", size, f.Width, f.Height, len(f.Pix))
		}
		if f.Camera != "line" || f.Seq != 5 || !f.Time.IsZero() {
			t.Errorf("%v: Camera, Seq or Time were touched", size)
		}
	}
}

func TestRenderDoesNotAllocate(t *testing.T) {
	s, n := NewScene(1, 320, 180), uint64(0)
	var f vision.Frame
	s.Render(n, &f)
	if got := testing.AllocsPerRun(200, func() { n++; s.Render(n, &f) }); got != 0 {
		t.Errorf("%g allocations per frame, want 0", got)
	}
}

// TestLabels wants every class to come by, and to hold for 1.5 to 8 s at 15 frames a second.
func TestLabels(t *testing.T) {
	s := NewScene(1, 320, 180)
	seen := map[int]int{}
	last, since := s.Label(0), uint64(0)
	for n := uint64(1); n < 20000; n++ {
		label := s.Label(n)
		seen[label]++
		if label == last {
			continue
		}
		if held := n - since; since > 0 && (held < 23 || held > 120 && last != empty) {
			t.Errorf("frames %d…%d: label %d held for %d frames", since, n, last, held)
		}
		last, since = label, n
	}
	for c, p := range parts {
		if share := float64(seen[c]) / 20000; share < 0.02 {
			t.Errorf("%s: on screen %.1f %% of the time", p.label, 100*share)
		}
	}
}

func TestClassesAreSortedAsFolders(t *testing.T) {
	if labels := Classes(); !slices.IsSorted(labels) || labels[empty] != "empty" {
		t.Errorf("labels %v are not in the order in which ImageFolder numbers them", labels)
	}
}

// TestPartsStayInTheirCircle checks every outline against the reach that bounds its sprite.
func TestPartsStayInTheirCircle(t *testing.T) {
	for _, p := range parts {
		if p.outline == nil {
			continue
		}
		for variant := range 81 {
			v := [4]float64{float64(variant%3) / 2, float64(variant/3%3) / 2, float64(variant/9%3) / 2,
				float64(variant/27) / 2}
			inside := 0
			for i := range 101 * 101 {
				x, y := float64(i%101)/40-1.25, float64(i/101)/40-1.25
				d, z := p.outline(x, y, &v)
				if d >= 0 {
					continue
				}
				inside++
				if r := x*x + y*y; r > p.reach*p.reach {
					t.Fatalf("%s %v: (%.2f, %.2f) is inside, beyond its reach %.2f", p.label, v, x, y, p.reach)
				}
				if z < -0.05 || z > 0.5 {
					t.Fatalf("%s %v: height %.2f at (%.2f, %.2f)", p.label, v, z, x, y)
				}
			}
			if inside < 200 {
				t.Fatalf("%s %v: covers %d of 10201 points", p.label, v, inside)
			}
		}
	}
}

// TestContactSheet compares one picture of each class with a golden. Architectures that fuse
// multiply and add may round a level differently; 0.2 % of the bytes may, by 3.
func TestContactSheet(t *testing.T) {
	got := contactSheet()
	path := filepath.Join("testdata", "classes.png")
	if *update {
		var file bytes.Buffer
		if err := png.Encode(&file, got); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	off := 0
	for i := range got.Pix {
		x, y := i/4%got.Rect.Dx(), i/4/got.Rect.Dx()
		r, g, b, a := want.At(x, y).RGBA()
		if diff := int(got.Pix[i]) - int([4]uint32{r, g, b, a}[i%4]>>8); diff > 3 || diff < -3 {
			off++
		}
	}
	if off > len(got.Pix)/500 {
		t.Errorf("%d of %d bytes differ from %s (go test ./demo -update writes it anew)", off, len(got.Pix), path)
	}
}

// contactSheet shows the centre of one example of each class, side by side in two rows.
func contactSheet() *image.RGBA {
	const cell, across = 150, 7
	sheet := image.NewRGBA(image.Rect(0, 0, cell*across, 2*cell))
	s := NewScene(0, 320, 180)
	var f vision.Frame
	for class := range parts {
		s.example(4, len(parts)+class, &f)
		left, top := class%across*cell, class/across*cell
		for i := range cell * cell {
			x, y := i%cell, i/cell
			from := f.Pix[(y+(180-cell)/2)*f.Stride+3*(x+(320-cell)/2):]
			copy(sheet.Pix[sheet.PixOffset(left+x, top+y):], []byte{from[2], from[1], from[0], 255})
		}
	}
	return sheet
}

// Of a scene with strangers every so many parts is one that no network knows, and nothing else differs.
func TestStrangers(t *testing.T) {
	plain, with := NewScene(3, 320, 180), NewScene(3, 320, 180)
	with.Strangers = 3
	strangers := 0
	for k := range int64(30) {
		want, got := plain.slotAt(k), with.slotAt(k)
		if k%3 == 0 {
			strangers++
			if got.class != stranger {
				t.Errorf("slot %d has class %d, want %d", k, got.class, stranger)
			}
			got.class = want.class
		}
		if got != want {
			t.Errorf("slot %d: %+v, want %+v", k, got, want)
		}
	}
	n := uint64(math.Round((3*pitch + 0.45) / travelPerFrame)) // slot 3 is in the middle
	if label := with.Label(n); strangers != 10 || label != len(Classes()) {
		t.Errorf("%d strangers, frame %d has label %d, want 10 and %d", strangers, n, label, len(Classes()))
	}
	var a, b vision.Frame
	plain.Render(n, &a)
	with.Render(n, &b)
	if slices.Equal(a.Pix, b.Pix) {
		t.Error("the stranger is not drawn")
	}
}

func BenchmarkRender(b *testing.B) {
	s, n := NewScene(1, 1280, 720), uint64(0)
	var f vision.Frame
	for b.Loop() {
		s.Render(n, &f)
		n++
	}
}

// BenchmarkNewPart is what a frame costs more when a part comes into view.
func BenchmarkNewPart(b *testing.B) {
	s := NewScene(1, 1280, 720)
	for k := int64(0); b.Loop(); k++ {
		sl := s.slotAt(k)
		s.sprites[0].draw(&sl, &s.look)
	}
}
