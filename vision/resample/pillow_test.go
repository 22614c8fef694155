package resample

import (
	"hash/crc32"
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

// pillowFilters are the filters by the names of testdata/pillow.py.
var pillowFilters = map[string]Filter{"triangle": Triangle, "nearest": Nearest, "box": Box, "hamming": Hamming,
	"bicubic": Bicubic, "lanczos": Lanczos}

// TestPillowFilters: every filter at a thousand random sizes gives Pillow's own bytes, in Go and in
// every way through the kernel: those of Pillow 13, and of Pillow 11 where they differ.
func TestPillowFilters(t *testing.T) {
	compared := map[string]int{}
	for _, file := range []struct {
		name string
		kind Filter
	}{{"pillow.json", 0}, {"pillow12.json", Pillow12}} {
		for _, row := range recorded(t, file.name) {
			name, want := row[0].(string), uint32(row[5].(float64))
			p, src := planFor(t, row, pillowFilters[name]|file.kind)
			for p.kernel = -1; p.kernel < kernels(); p.kernel++ {
				if crc32.ChecksumIEEE(resized(t, p, src)) != want {
					t.Fatalf("%s, %v, way %d: not Pillow's bytes", file.name, row[:5], p.kernel)
				}
			}
			if compared[name+file.name]++; file.kind != 0 && !columnsFirst(row) {
				t.Errorf("%v: the two orders differ where both versions have the same", row[:5])
			}
		}
	}
	for name := range pillowFilters {
		if n := compared[name+"pillow.json"]; n != 1000 {
			t.Errorf("%s: %d sizes were compared, want 1000", name, n)
		}
	}
	if n := compared["bicubicpillow12.json"]; n < 100 {
		t.Errorf("bicubic: %d sizes were compared with Pillow 11, want 100", n)
	}
}

// columnsFirst is Pillow 13's choice.
func columnsFirst(row [6]any) bool {
	across, down := row[1].(float64)-row[3].(float64), row[2].(float64)-row[4].(float64)
	return down > 0 && down > 2*across
}

// TestPillowWindow: a window is what the whole picture has there.
func TestPillowWindow(t *testing.T) {
	src := drawn(61, 97)
	for _, f := range []Filter{Nearest, Triangle, Box, Hamming, Bicubic, Lanczos, Bicubic | Pillow12} {
		whole := Geometry{SrcWidth: 61, SrcHeight: 97, DstWidth: 50, DstHeight: 40, Width: 50, Height: 40}
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
	for kernel := -1; kernel < kernels(); kernel++ {
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
