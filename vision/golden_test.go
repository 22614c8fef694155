package vision

import (
	"encoding/json"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"
)

const goldens = "resample/testdata" // made by make.py there

// golden is one case of cases.json.
type golden struct {
	Name, Pattern string
	Width, Height int
	Size          int
	Resize        string
	Filter        string
	Shorter       int
	Fill          uint8
}

// draw is draw of make.py: a picture from a formula in integers.
func draw(pattern string, width, height int) *Frame {
	f := new(Frame)
	f.Resize(width, height)
	for y := range height {
		for x := range width {
			for c := range 3 { // red, green, blue
				f.Pix[y*f.Stride+3*x+2-c] = level(pattern, x, y, c, width, height)
			}
		}
	}
	return f
}

func level(pattern string, x, y, c, width, height int) uint8 {
	switch pattern {
	case "noise":
		h := uint32((y*width+x)*3+c) * 2654435761
		h ^= h >> 15
		return uint8(h * 2246822519 >> 24)
	case "stripes":
		return uint8((x/(3+c) + y/(5-c)) % 2 * 255)
	}
	dx, dy, d := 2*x-width, 2*y-height, min(width, height)
	if dx*dx+dy*dy < d*d/4 {
		return uint8(255 - 60*c)
	}
	return uint8(min(255, (x*255/width+y*255/height)/2+c*20))
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldens, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Every pixel is Pillow's (pil-bilinear), and within one level OpenCV's (area, linear),
// and the crops and bars stand where torchvision and Pillow put them.
func TestApplyAnswersAsPillowAndOpenCV(t *testing.T) {
	var file struct{ Cases []golden }
	readJSON(t, "cases.json", &file)
	if len(file.Cases) < 20 {
		t.Fatalf("only %d cases", len(file.Cases))
	}
	for _, g := range file.Cases {
		t.Run(g.Name, func(t *testing.T) {
			want := readLevels(t, g.Name+".png")
			pre, err := NewPreprocessor(Preprocess{
				Resize: g.Resize, Shorter: g.Shorter, Fill: g.Fill, Filter: g.Filter,
				Channels: ChannelsRGB, Scale: 1, Std: [3]float64{1, 1, 1},
			}, g.Size)
			if err != nil {
				t.Fatal(err)
			}
			got := NewTensor(1, 3, g.Size, g.Size)
			if err := pre.Apply(draw(g.Pattern, g.Width, g.Height), got, 0); err != nil {
				t.Fatal(err)
			}
			if len(want) != len(got.Data) {
				t.Fatalf("golden has %d levels, tensor %d", len(want), len(got.Data))
			}
			other, most := 0, 1.0
			if g.Filter == FilterPILBilinear {
				most = 0
			}
			for i := range want {
				d := math.Abs(float64(got.Data[i] - want[i]))
				if d > most {
					t.Fatalf("channel %d, pixel %d: got %g, want %g ± %g", i/(g.Size*g.Size), i%(g.Size*g.Size),
						got.Data[i], want[i], most)
				}
				if d != 0 {
					other++
				}
			}
			t.Logf("%.1f %% of the levels differ by one", 100*float64(other)/float64(len(want)))
		})
	}
}

// readLevels returns a PNG as planes of red, green and blue levels.
func readLevels(t *testing.T, name string) []float32 {
	t.Helper()
	f, err := os.Open(filepath.Join(goldens, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	b := m.Bounds()
	area := b.Dx() * b.Dy()
	levels := make([]float32, 3*area)
	for i := range area {
		red, green, blue, _ := m.At(b.Min.X+i%b.Dx(), b.Min.Y+i/b.Dx()).RGBA()
		levels[i], levels[area+i], levels[2*area+i] = float32(red>>8), float32(green>>8), float32(blue>>8)
	}
	return levels
}

// The 256 levels become the floats that torchvision's ToTensor and Normalize make of them.
func TestTablesAnswerAsTorchvision(t *testing.T) {
	var want [3][256]float64
	readJSON(t, "normalize.json", &want)
	pre, err := NewPreprocessor(Torchvision(96), 96)
	if err != nil {
		t.Fatal(err)
	}
	for c, plane := range pre.planes {
		for v, got := range pre.tables[c] {
			if d := math.Abs(float64(got) - want[plane][v]); d > 1e-6 {
				t.Errorf("channel %d, level %d: got %v, want %v", plane, v, got, want[plane][v])
			}
		}
	}
}
