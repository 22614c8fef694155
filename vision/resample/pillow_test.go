package resample

import (
	"encoding/json"
	"hash/crc32"
	"os"
	"testing"
)

// drawn is draw of testdata/pillow.py, as BGR.
func drawn(width, height int) []byte {
	pix := make([]byte, 3*width*height)
	for y := range height {
		for x := range width {
			for c := range 3 { // red, green, blue
				h := uint32((y*width+x)*3+c) * 2654435761
				h ^= h >> 15
				v := byte(h * 2246822519 >> 24)
				if (x/7+y/5)%2 != 0 {
					v = byte(255 * ((x + c) % 2))
				}
				pix[3*(y*width+x)+2-c] = v
			}
		}
	}
	return pix
}

// resized is a window of the resize, as RGB.
func resized(t *testing.T, p *Plan, src []byte) []byte {
	t.Helper()
	g := &p.geo
	dst := Target{Stride: g.Width, Tables: levels()}
	for c := range dst.Planes {
		dst.Planes[c] = make([]float32, g.Width*g.Height)
	}
	if err := p.Apply(&dst, src, 3*g.SrcWidth); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 0, 3*g.Width*g.Height)
	for i := range dst.Planes[0] {
		out = append(out, byte(dst.Planes[2][i]-2000), byte(dst.Planes[1][i]-1000), byte(dst.Planes[0][i]))
	}
	return out
}

// TestPillowFilters: every filter at a thousand random sizes gives Pillow's own bytes, in Go and in
// C.
func TestPillowFilters(t *testing.T) {
	text, err := os.ReadFile("testdata/pillow.json")
	if err != nil {
		t.Fatal(err)
	}
	var goldens struct{ Rows [][6]any }
	if err := json.Unmarshal(text, &goldens); err != nil {
		t.Fatal(err)
	}
	filters := map[string]Filter{"nearest": Nearest, "box": Box, "hamming": Hamming, "bicubic": Bicubic,
		"lanczos": Lanczos}
	compared := map[string]int{}
	for _, row := range goldens.Rows {
		name, n := row[0].(string), [5]int{}
		for i := range n {
			n[i] = int(row[1+i].(float64))
		}
		g := Geometry{SrcWidth: n[0], SrcHeight: n[1], DstWidth: n[2], DstHeight: n[3], Width: n[2], Height: n[3]}
		p, err := New(g, filters[name])
		if err != nil {
			t.Fatal(err)
		}
		src := drawn(n[0], n[1])
		for kernel := -1; kernel < min(kernels(), 1); kernel++ {
			p.kernel = kernel
			if crc32.ChecksumIEEE(resized(t, p, src)) != uint32(n[4]) {
				t.Fatalf("%s, %d×%d to %d×%d, way %d: not Pillow's bytes", name, n[0], n[1], n[2], n[3], kernel)
			}
		}
		compared[name]++
	}
	for name := range filters {
		if compared[name] != 1000 {
			t.Errorf("%s: %d sizes were compared, want 1000", name, compared[name])
		}
	}
}

// TestPillowWindow: a window is what the whole picture has there.
func TestPillowWindow(t *testing.T) {
	src := drawn(97, 61)
	for _, f := range []Filter{Nearest, Box, Hamming, Bicubic, Lanczos} {
		whole := Geometry{SrcWidth: 97, SrcHeight: 61, DstWidth: 50, DstHeight: 40, Width: 50, Height: 40}
		part := whole
		part.X, part.Y, part.Width, part.Height = 9, 7, 23, 19
		a, err := New(whole, f)
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(part, f)
		if err != nil {
			t.Fatal(err)
		}
		all, window := resized(t, a, src), resized(t, b, src)
		for y := range part.Height {
			from := all[3*((part.Y+y)*whole.Width+part.X):][:3*part.Width]
			if got := window[3*y*part.Width:][:3*part.Width]; string(got) != string(from) {
				t.Fatalf("filter %d, row %d of the window differs", f, y)
			}
		}
	}
}

// TestPillowAllocatesNothing: a plan that was used once needs no memory.
func TestPillowAllocatesNothing(t *testing.T) {
	g := Geometry{SrcWidth: 320, SrcHeight: 180, DstWidth: 114, DstHeight: 64, X: 25, Width: 64, Height: 64}
	p, err := New(g, Bicubic)
	if err != nil {
		t.Fatal(err)
	}
	src, dst := drawn(320, 180), Target{Stride: 64, Tables: levels()}
	for c := range dst.Planes {
		dst.Planes[c] = make([]float32, 64*64)
	}
	for kernel := -1; kernel < min(kernels(), 1); kernel++ {
		p.kernel = kernel
		if n := testing.AllocsPerRun(10, func() { _ = p.Apply(&dst, src, 960) }); n != 0 {
			t.Errorf("way %d: %g allocations", kernel, n)
		}
	}
}

// BenchmarkPillow is a 720p picture to 224×224, as a camera's for a network.
func BenchmarkPillow(b *testing.B) {
	src, dst := drawn(1280, 720), Target{Stride: 224, Tables: levels()}
	for c := range dst.Planes {
		dst.Planes[c] = make([]float32, 224*224)
	}
	for name, f := range map[string]Filter{"bilinear": Triangle, "bicubic": Bicubic, "lanczos": Lanczos} {
		g := Geometry{SrcWidth: 1280, SrcHeight: 720, DstWidth: 398, DstHeight: 224, X: 87, Width: 224, Height: 224}
		p, err := New(g, f)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = p.Apply(&dst, src, 3*1280)
			}
		})
	}
}
