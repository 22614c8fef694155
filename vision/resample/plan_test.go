package resample

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var filters = []Filter{Area, Triangle, Lanczos, Lanczos | Pillow12, Linear, Cubic, TFBilinear}

// levels is a table that makes the bytes themselves visible.
func levels() *[3][256]float32 {
	var t [3][256]float32
	for c := range t {
		for v := range t[c] {
			t[c][v] = float32(1000*c + v)
		}
	}
	return &t
}

// window is a fresh Target of width×height, its rows pad floats longer; its last row ends with the
// slice.
func window(width, height, pad int) *Target {
	t := &Target{Stride: width + pad, Tables: levels()}
	for c := range t.Planes {
		t.Planes[c] = make([]float32, t.Stride*(height-1)+width)
	}
	return t
}

func noise(n int, seed uint64) []byte {
	pix := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range pix {
		pix[i] = byte(r.Uint32())
	}
	return pix
}

// same fails the test unless every way through the vector kernel writes the bits of the plain Go
// code.
func same(t *testing.T, g Geometry, f Filter, src []byte, stride int) {
	t.Helper()
	p, err := New(g, f)
	if err != nil {
		t.Fatal(err)
	}
	want := window(g.Width, g.Height, 3)
	p.kernel = -1
	if err := p.Apply(want, src, stride); err != nil {
		t.Fatal(err)
	}
	for level := range kernels() {
		clear(p.row)
		p.kernel = level
		got := window(g.Width, g.Height, 3)
		if err := p.Apply(got, src, stride); err != nil {
			t.Fatal(err)
		}
		for c := range got.Planes {
			if !slices.Equal(got.Planes[c], want.Planes[c]) {
				t.Fatalf("%+v, filter %d, kernel %d: plane %d is not that of the plain Go code", g, f, level, c)
			}
		}
	}
}

func TestKernelEqualsPlain(t *testing.T) {
	if kernels() == 0 {
		t.Skip("this build has no vector kernel (no cgo, or not amd64 or arm64)")
	}
	r := rand.New(rand.NewPCG(7, 7))
	upTo := func(n int) int { return 1 + r.IntN(n) }
	for range 200 {
		g := Geometry{SrcWidth: upTo(200), SrcHeight: upTo(200), DstWidth: upTo(90), DstHeight: upTo(90)}
		if r.IntN(4) == 0 {
			g.SrcWidth, g.SrcHeight = upTo(12), upTo(3000)
		}
		g.X, g.Y = r.IntN(g.DstWidth), r.IntN(g.DstHeight)
		g.Width, g.Height = upTo(g.DstWidth-g.X), upTo(g.DstHeight-g.Y)
		stride := 3*g.SrcWidth + r.IntN(5)
		src := noise(stride*(g.SrcHeight-1)+3*g.SrcWidth, r.Uint64())
		for _, f := range filters {
			same(t, g, f, src, stride)
		}
	}
}

// White and black stay what they are: the sums that could overflow do not.
func TestExtremesDoNotOverflow(t *testing.T) {
	for _, dim := range [][2]int{{1, 1}, {2, 2}, {96, 96}, {4000, 3}, {3, 4000}, {30000, 2}} {
		for _, f := range filters {
			for _, v := range []byte{0, 1, 254, 255} {
				g := Geometry{dim[0], dim[1], 20, 20, 0, 0, 20, 20}
				p, err := New(g, f)
				if err != nil {
					t.Fatal(err)
				}
				src := slices.Repeat([]byte{v}, 3*dim[0]*dim[1])
				for p.kernel = -1; p.kernel < kernels(); p.kernel++ {
					got := window(20, 20, 0)
					if err := p.Apply(got, src, 3*dim[0]); err != nil {
						t.Fatal(err)
					}
					for c, plane := range got.Planes {
						for i, have := range plane {
							if want := float32(1000*c + int(v)); have != want {
								t.Fatalf("%v, filter %d, kernel %d: plane %d, pixel %d: got %g, want %g", dim, f,
									p.kernel, c, i, have, want)
							}
						}
					}
				}
			}
		}
	}
}

// A window is cut out of the whole: the same pixels, wherever it lies.
func TestWindowIsPartOfWhole(t *testing.T) {
	src := noise(3*61*47, 3)
	for _, f := range filters {
		all, err := New(Geometry{61, 47, 23, 19, 0, 0, 23, 19}, f)
		if err != nil {
			t.Fatal(err)
		}
		whole := window(23, 19, 0)
		if err := all.Apply(whole, src, 3*61); err != nil {
			t.Fatal(err)
		}
		part, err := New(Geometry{61, 47, 23, 19, 5, 7, 11, 9}, f)
		if err != nil {
			t.Fatal(err)
		}
		got := window(11, 9, 2)
		if err := part.Apply(got, src, 3*61); err != nil {
			t.Fatal(err)
		}
		for y := range 9 {
			want := whole.Planes[1][(7+y)*23+5:][:11]
			if have := got.Planes[1][y*got.Stride:][:11]; !slices.Equal(have, want) {
				t.Fatalf("filter %d, row %d: got %v, want %v", f, y, have, want)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	ok := Geometry{8, 4, 4, 2, 0, 0, 4, 2}
	for name, c := range map[string]struct {
		geo    func(*Geometry)
		pix    int
		stride int
		plane  int
		want   string
	}{
		"empty source": {func(g *Geometry) { g.SrcHeight = 0 }, 96, 24, 8,
			"resample: source of 8×0 pixels is empty"},
		"window outside": {func(g *Geometry) { g.X = 1 }, 96, 24, 8, "resample: window 4×2 at 1,0 is not inside 4×2"},
		"window empty": {func(g *Geometry) { g.Width = 0 }, 96, 24, 8,
			"resample: window 0×2 at 0,0 is not inside 4×2"},
		"negative window": {func(g *Geometry) { g.Y = -1 }, 96, 24, 8,
			"resample: window 4×2 at 0,-1 is not inside 4×2"},
		"stride too small": {func(*Geometry) {}, 96, 23, 8,
			"resample: stride of 23 bytes is too small for 8 pixels of 3 bytes"},
		"short picture": {func(*Geometry) {}, 95, 24, 8, "resample: 8×4 pixels need 96 bytes, got 95"},
		"short plane":   {func(*Geometry) {}, 96, 24, 7, "resample: plane 0: 4×2 floats at stride 4 need 8, got 7"},
		"nothing wrong": {func(*Geometry) {}, 96, 24, 8, ""},
	} {
		g := ok
		c.geo(&g)
		p, err := New(g, Triangle)
		if err == nil {
			dst := &Target{Stride: 4, Tables: levels()}
			for i := range dst.Planes {
				dst.Planes[i] = make([]float32, c.plane)
			}
			err = p.Apply(dst, make([]byte, c.pix), c.stride)
		}
		switch {
		case err == nil && c.want != "":
			t.Errorf("%s: got no error, want %q", name, c.want)
		case err != nil && !strings.Contains(err.Error(), c.want) || err != nil && c.want == "":
			t.Errorf("%s: got %q, want %q", name, err, c.want)
		}
	}
}

func FuzzKernel(f *testing.F) {
	f.Add(uint16(1280), uint16(9), uint8(96), uint8(5), uint8(0), uint64(1))
	f.Add(uint16(1), uint16(1), uint8(1), uint8(1), uint8(1), uint64(2))
	f.Add(uint16(5), uint16(700), uint8(200), uint8(33), uint8(2), uint64(3))
	f.Fuzz(func(t *testing.T, w, h uint16, dw, dh, filter uint8, seed uint64) {
		g := Geometry{SrcWidth: 1 + int(w)%2000, SrcHeight: 1 + int(h)%2000, DstWidth: 1 + int(dw),
			DstHeight: 1 + int(dh)}
		g.Width, g.Height = g.DstWidth, g.DstHeight
		same(t, g, filters[filter%2], noise(3*g.SrcWidth*g.SrcHeight, seed), 3*g.SrcWidth)
	})
}
