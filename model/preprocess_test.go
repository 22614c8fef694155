package model

import (
	"math"
	"testing"
	"time"
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
				p := Preprocess{Resize: resize, Shorter: 40, Fill: 9, Filter: filter, Channels: ChannelsRGB, Scale: 1.0 / 255,
					Mean: [3]float64{0.1, 0.2, 0.3}, Std: [3]float64{0.5, 0.25, 0.125}}
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
							t.Fatalf("%s %s %v: channel %d, pixel %d: got %g, want %g", resize, filter, dim, c, i, got, want)
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
