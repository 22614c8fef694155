package vision

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision/resample"
)

// filled is a frame of one colour, its rows padded with 0xEE.
func filled(width, height, pad int, b, g, r byte) *Frame {
	f := &Frame{Width: width, Height: height, Stride: 3*width + pad, Time: time.Now()}
	f.Pix = make([]byte, f.Stride*height)
	for i := range f.Pix {
		f.Pix[i] = 0xEE
	}
	for y := range height {
		row := f.Pix[y*f.Stride:][:3*width]
		for x := range width {
			row[3*x], row[3*x+1], row[3*x+2] = b, g, r
		}
	}
	return f
}

// A picture of one colour keeps it through every mode and filter, at any size and padding, and the
// planes stand in the declared order.
func TestApplyKeepsColour(t *testing.T) {
	const size = 32
	for _, resize := range []string{ResizeSquash, ResizeShortestCrop, ResizeLetterbox} {
		for _, filter := range []string{FilterPILBilinear, FilterArea, FilterLinear} {
			for _, dim := range [][2]int{{640, 360}, {1, 1}, {5, 700}, {700, 5}, {32, 32}, {33, 31}} {
				p := Preprocess{Resize: resize, Shorter: 40, Fill: 9, Filter: filter, Channels: ChannelsRGB,
					Scale: 1.0 / 255,
					Mean:  [3]float64{0.1, 0.2, 0.3}, Std: [3]float64{0.5, 0.25, 0.125}}
				pre, err := NewPreprocessor(p, size)
				if err != nil {
					t.Fatal(err)
				}
				in := NewTensor(2, 3, size, size)
				if err := pre.Apply(filled(dim[0], dim[1], 7, 10, 200, 250), in, 1); err != nil {
					t.Fatal(err)
				}
				for c, v := range []float64{250, 200, 10} {
					want := float32((v/255 - p.Mean[c]) / p.Std[c])
					bar := float32((9.0/255 - p.Mean[c]) / p.Std[c])
					bars := 0
					for i, got := range in.Data[(3+c)*size*size:][:size*size] {
						if resize == ResizeLetterbox && got == bar {
							bars++
						} else if math.Abs(float64(got-want)) > 1e-6 {
							t.Fatalf("%s %s %v: channel %d, pixel %d: got %g, want %g", resize, filter, dim, c, i, got,
								want)
						}
					}
					if bars == size*size {
						t.Errorf("%s %s %v: only bars", resize, filter, dim)
					}
				}
				for i, v := range in.Data[:3*size*size] {
					if v != 0 {
						t.Fatalf("picture 0 was touched at %d", i)
					}
				}
			}
		}
	}
}

// What Apply refuses, it refuses with one sentence, and leaves the tensor alone.
func TestApplyRefuses(t *testing.T) {
	pre, err := NewPreprocessor(Torchvision(32), 32)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func(*Frame, *Tensor) (n int)
		want  string
	}{
		{"empty frame", func(f *Frame, _ *Tensor) int { *f = Frame{}; return 0 },
			"vision: preprocess: frame of 0×0 pixels is empty"},
		{"negative height", func(f *Frame, _ *Tensor) int { f.Height = -1; return 0 },
			"vision: preprocess: frame of 40×-1 pixels is empty"},
		{"stride too small", func(f *Frame, _ *Tensor) int { f.Stride--; return 0 },
			"vision: preprocess: frame's stride of 119 bytes is too small for 40 pixels of 3 bytes"},
		{"too few bytes", func(f *Frame, _ *Tensor) int { f.Pix = f.Pix[:len(f.Pix)-1]; return 0 },
			"vision: preprocess: frame of 40×30 pixels at stride 120 has only 3599 bytes"},
		{"another size", func(_ *Frame, in *Tensor) int { *in = *NewTensor(1, 3, 33, 32); return 0 },
			"vision: preprocess: tensor is [1 3 33 32], want N×3×32×32"},
		{"grey tensor", func(_ *Frame, in *Tensor) int { *in = *NewTensor(1, 1, 32, 32); return 0 },
			"vision: preprocess: tensor is [1 1 32 32], want N×3×32×32"},
		{"shape without data", func(_ *Frame, in *Tensor) int { in.Data = in.Data[1:]; return 0 },
			"vision: preprocess: tensor of shape [2 3 32 32] has only 6143 floats"},
		{"behind the batch", func(*Frame, *Tensor) int { return 2 },
			"vision: preprocess: picture 2 is outside a batch of 2"},
		{"before the batch", func(*Frame, *Tensor) int { return -1 },
			"vision: preprocess: picture -1 is outside a batch of 2"},
	} {
		f, in := filled(40, 30, 0, 1, 2, 3), NewTensor(2, 3, 32, 32)
		n := c.spoil(f, in)
		err := pre.Apply(f, in, n)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
		for i, v := range in.Data {
			if v != 0 {
				t.Errorf("%s: the tensor was written to at %d", c.name, i)
				break
			}
		}
	}
}

func TestNewPreprocessorRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		alter func(*Preprocess) (size int)
		want  string
	}{
		{"no size", func(*Preprocess) int { return 0 }, "vision: preprocess: input size must be > 0, got 0"},
		{"no filter", func(p *Preprocess) int { p.Filter = ""; return 32 },
			`vision: preprocess.filter: must be one of area, cubic, linear, nearest, pil-bicubic, ` +
				`pil-bilinear, pil-box, pil-hamming, pil-lanczos, pil12-bicubic, pil12-bilinear, pil12-box, ` +
				`pil12-hamming, pil12-lanczos, tf-bilinear, got ""`},
		{"crop larger than picture", func(p *Preprocess) int { p.Shorter = 31; return 32 },
			"vision: preprocess.shorter: must be ≥ the input size 32, got 31"},
	} {
		p := Torchvision(32)
		size := c.alter(&p)
		if _, err := NewPreprocessor(p, size); err == nil || err.Error() != c.want {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
	}
}

// A camera that changes its size gets new tables; a frame that is a part of a larger one needs no
// bytes behind its last pixel.
func TestApplyFollowsTheFrame(t *testing.T) {
	pre, err := NewPreprocessor(Torchvision(32), 32)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]int{{64, 48, 9}, {48, 64, 0}, {48, 64, 5}, {64, 48, 9}} {
		f := draw("noise", c[0]+c[2], c[1])
		f.Width, f.Pix = c[0], f.Pix[:f.Stride*(c[1]-1)+3*c[0]]
		got, want := NewTensor(1, 3, 32, 32), NewTensor(1, 3, 32, 32)
		if err := pre.Apply(f, got, 0); err != nil {
			t.Fatal(err)
		}
		fresh, err := NewPreprocessor(Torchvision(32), 32)
		if err != nil {
			t.Fatal(err)
		}
		if err := fresh.Apply(f, want, 0); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Data, want.Data) {
			t.Errorf("%v: got another tensor than a fresh Preprocessor's", c)
		}
	}
}

// The sizes and offsets that torchvision and Pillow compute; ties go to the even pixel.
func TestGeometry(t *testing.T) {
	g := func(srcWidth, srcHeight, dstWidth, dstHeight, x, y, width, height int) resample.Geometry {
		return resample.Geometry{SrcWidth: srcWidth, SrcHeight: srcHeight, DstWidth: dstWidth, DstHeight: dstHeight,
			X: x, Y: y, Width: width, Height: height}
	}
	for _, c := range []struct {
		resize              string
		shorter             int
		width, height, size int
		want                resample.Geometry
		left, top           int
	}{
		{ResizeSquash, 0, 1280, 720, 96, g(1280, 720, 96, 96, 0, 0, 96, 96), 0, 0},
		{ResizeShortestCrop, 110, 1280, 720, 96, g(1280, 720, 195, 110, 50, 7, 96, 96), 0, 0}, // 49.5
		{ResizeShortestCrop, 110, 720, 1280, 96, g(720, 1280, 110, 195, 7, 50, 96, 96), 0, 0},
		{ResizeShortestCrop, 256, 1280, 720, 224, g(1280, 720, 455, 256, 116, 16, 224, 224), 0, 0}, // 115.5
		{ResizeShortestCrop, 256, 500, 375, 224, g(500, 375, 341, 256, 58, 16, 224, 224), 0, 0},    // 58.5
		{ResizeLetterbox, 0, 1280, 720, 96, g(1280, 720, 96, 54, 0, 0, 96, 54), 0, 21},
		{ResizeLetterbox, 0, 50, 500, 40, g(50, 500, 4, 40, 0, 0, 4, 40), 18, 0},
		{ResizeLetterbox, 0, 9, 1000, 33, g(9, 1000, 1, 33, 0, 0, 1, 33), 16, 0}, // 0.3 pixels wide: 1
	} {
		p := Preprocess{Resize: c.resize, Shorter: c.shorter}
		got, left, top := p.geometry(c.width, c.height, c.size)
		if got != c.want || left != c.left || top != c.top {
			t.Errorf("%s of %d×%d: got %+v at %d,%d, want %+v at %d,%d",
				c.resize, c.width, c.height, got, left, top, c.want, c.left, c.top)
		}
	}
}

func TestApplyAllocatesNothing(t *testing.T) {
	for _, resize := range []string{ResizeShortestCrop, ResizeLetterbox} {
		p := Torchvision(96)
		p.Resize = resize
		pre, err := NewPreprocessor(p, 96)
		if err != nil {
			t.Fatal(err)
		}
		f, in := draw("scene", 320, 180), NewTensor(1, 3, 96, 96)
		if got := testing.AllocsPerRun(20, func() {
			if err := pre.Apply(f, in, 0); err != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("%s: got %g allocations a frame, want 0", resize, got)
		}
	}
}

// BenchmarkPreprocess is a 1280×720 frame to a tensor, on one core.
func BenchmarkPreprocess(b *testing.B) {
	f := draw("scene", 1280, 720)
	for _, filter := range []string{FilterPILBilinear, FilterArea, FilterLinear} {
		for _, size := range []int{96, 224} {
			b.Run(fmt.Sprintf("%s/%d", filter, size), func(b *testing.B) {
				p := Torchvision(size)
				p.Filter = filter
				pre, err := NewPreprocessor(p, size)
				if err != nil {
					b.Fatal(err)
				}
				in := NewTensor(1, 3, size, size)
				b.ReportAllocs()
				for b.Loop() {
					if err := pre.Apply(f, in, 0); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOutsideRun is all that the agent does to a 1280×720 frame on one core but for the
// network: preprocess and decide, for a demo-sized and a full-sized network.
func BenchmarkOutsideRun(b *testing.B) {
	f := draw("scene", 1280, 720)
	for _, c := range []struct{ size, classes int }{{96, 9}, {224, 1000}} {
		b.Run(fmt.Sprint(c.size), func(b *testing.B) {
			pre, err := NewPreprocessor(Torchvision(c.size), c.size)
			if err != nil {
				b.Fatal(err)
			}
			decide, logits := decider(b, c.classes)
			in := NewTensor(1, 3, c.size, c.size)
			var out Decision
			b.ReportAllocs()
			for b.Loop() {
				if err := pre.Apply(f, in, 0); err != nil {
					b.Fatal(err)
				}
				decide.Decide(logits, &out)
			}
		})
	}
}

// TestFiltersOfPillow: a manifest's filter is the one of package resample that has its name: of a
// line of black and white pixels each gives the grey that Pillow 11.3 does.
func TestFiltersOfPillow(t *testing.T) {
	f := new(Frame)
	f.Resize(8, 1)
	for x := range 8 {
		for c := range 3 {
			f.Pix[3*x+c] = []byte{0, 255, 255, 0, 0, 0, 255, 0}[x]
		}
	}
	for filter, want := range map[string][3]float32{
		FilterNearest: {255, 0, 255}, FilterPILBox: {170, 0, 85}, FilterPILHamming: {171, 30, 117},
		FilterPILBicubic: {168, 52, 96}, FilterPILLanczos: {171, 59, 88},
	} {
		p, err := NewPreprocessor(Preprocess{Resize: ResizeSquash, Filter: filter, Channels: ChannelsRGB,
			Scale: 1, Std: [3]float64{1, 1, 1}}, 3)
		if err != nil {
			t.Fatal(err)
		}
		x := NewTensor(1, 3, 3, 3)
		if err := p.Apply(f, x, 0); err != nil {
			t.Fatal(err)
		}
		if got := [3]float32(x.Data[:3]); got != want {
			t.Errorf("%s: got %v, want %v", filter, got, want)
		}
	}
}

// Show gives back the pixels that Apply was given, in either order of channels; a value beyond white
// is white.
func TestShow(t *testing.T) {
	for _, channels := range []string{ChannelsRGB, ChannelsBGR} {
		spec := Torchvision(4)
		spec.Resize, spec.Channels, spec.Filter = ResizeSquash, channels, FilterNearest
		p, err := NewPreprocessor(spec, 4)
		if err != nil {
			t.Fatal(err)
		}
		var f, shown Frame
		f.Resize(4, 4)
		for i := range f.Pix {
			f.Pix[i] = byte(i * 5)
		}
		in := NewTensor(2, 3, 4, 4)
		if err := p.Apply(&f, in, 1); err != nil {
			t.Fatal(err)
		}
		in.Data[3*16] += 100 // the first value of the second picture
		p.Show(in, 1, &shown)
		beyond := 2 // red
		if channels == ChannelsBGR {
			beyond = 0
		}
		f.Pix[beyond] = 255
		if !slices.Equal(shown.Pix, f.Pix) {
			t.Errorf("%s: got %v, want %v", channels, shown.Pix, f.Pix)
		}
	}
}

func TestSeen(t *testing.T) {
	for _, c := range []struct {
		p             Preprocess
		width, height int
		want          [4]float64
	}{
		{Preprocess{Resize: ResizeSquash}, 640, 480, [4]float64{0, 0, 1, 1}},
		{Preprocess{Resize: ResizeLetterbox}, 640, 480, [4]float64{0, 0, 1, 1}},
		{Preprocess{Resize: ResizeShortestCrop, Shorter: 64}, 128, 64, [4]float64{0.25, 0, 0.75, 1}},
		{Preprocess{Resize: ResizeShortestCrop, Shorter: 128}, 300, 600, [4]float64{0.25, 0.375, 0.75, 0.625}},
	} {
		var got [4]float64
		if got[0], got[1], got[2], got[3] = c.p.Seen(c.width, c.height, 64); got != c.want {
			t.Errorf("%s of %d×%d: got %v, want %v", c.p.Resize, c.width, c.height, got, c.want)
		}
	}
}
