package vision

import (
	"slices"
	"testing"
)

// plain is a declaration whose tensors are the bytes as they are.
func plain(resize string) Preprocess {
	return Preprocess{Resize: resize, Filter: FilterNearest, Channels: ChannelsRGB, Scale: 1, Std: [3]float64{1, 1, 1}}
}

// frameOf is a picture whose red counts the pixels; green and blue are 7 and 9.
func frameOf(width, height int) *Frame {
	f := &Frame{}
	f.Resize(width, height)
	for i := range width * height {
		f.Pix[3*i], f.Pix[3*i+1], f.Pix[3*i+2] = 9, 7, byte(i)
	}
	return f
}

func applied(t *testing.T, p Preprocess, size int, f *Frame) *Tensor {
	t.Helper()
	pre, err := NewPreprocessor(p, size)
	if err != nil {
		t.Fatal(err)
	}
	x := NewTensor(1, 3, size, size)
	if err := pre.Apply(f, x, 0); err != nil {
		t.Fatal(err)
	}
	return x
}

// Grey is Pillow's convert("L"), three times (values of Pillow).
func TestGreyIsPillows(t *testing.T) {
	for colour, want := range map[[3]byte]float32{{200, 100, 50}: 124, {1, 2, 3}: 2, {255, 255, 254}: 255,
		{10, 200, 77}: 129} {
		p := plain(ResizeSquash)
		p.Channels = ChannelsGrey
		f := &Frame{}
		f.Resize(1, 1)
		f.Pix[0], f.Pix[1], f.Pix[2] = colour[2], colour[1], colour[0]
		if x := applied(t, p, 1, f); !slices.Equal(x.Data, []float32{want, want, want}) {
			t.Errorf("%v: %v, want %g three times", colour, x.Data, want)
		}
	}
}

// A squash to a size larger than the input is cropped in its centre.
func TestSquashToASizeIsCropped(t *testing.T) {
	p := plain(ResizeSquash)
	p.Size = [2]int{4, 6}
	x := applied(t, p, 2, frameOf(6, 4)) // rows of 6: the centre is pixels 8, 9, 14, 15
	if got := x.Data[:4]; !slices.Equal(got, []float32{8, 9, 14, 15}) {
		t.Errorf("got %v", got)
	}
	p.Size = [2]int{1, 6}
	if _, err := NewPreprocessor(p, 2); err == nil {
		t.Error("a size below the input was taken")
	}
}

// Where the network takes no squares its picture stands in the upper left of one.
func TestWindowOfTheSquare(t *testing.T) {
	p := plain(ResizeSquash)
	p.Window = [2]int{2, 3}
	x := applied(t, p, 3, frameOf(3, 2))
	if got := x.Data[:6]; !slices.Equal(got, []float32{0, 1, 2, 3, 4, 5}) {
		t.Errorf("squash: %v", got)
	}
	p.Resize, p.Fill = ResizeLetterbox, 99 // 2×2 into 2×3: two bars of half a pixel, all on one side
	x = applied(t, p, 3, frameOf(2, 2))
	if got := x.Data[:6]; !slices.Equal(got, []float32{0, 1, 99, 2, 3, 99}) {
		t.Errorf("letterbox: %v", got)
	}
	p.Resize, p.Shorter = ResizeShortestCrop, 3
	x = applied(t, p, 3, frameOf(3, 3))
	if got := x.Data[:6]; !slices.Equal(got, []float32{0, 1, 2, 3, 4, 5}) { // half of one row rounds to none
		t.Errorf("shortest-crop: %v", got)
	}
}
