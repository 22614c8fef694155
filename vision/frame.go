package vision

import (
	"image"
	"time"
)

// Frame is one captured picture: 8-bit BGR, rows top to bottom.
type Frame struct {
	Pix                   []byte    // len ≥ Stride*Height; whose it is, the source says
	Width, Height, Stride int       // Width and Height in pixels, Stride in bytes
	Camera                string    // name in the configuration
	Seq                   uint64    // per camera, from 1; gaps are dropped frames
	Time                  time.Time // of capture, wall and monotonic
}

// Resize makes f a tightly packed width×height picture, growing Pix only where its capacity does
// not suffice; the pixels are whatever was there before.
func (f *Frame) Resize(width, height int) {
	f.Width, f.Height, f.Stride = width, height, 3*width
	if n := f.Stride * height; cap(f.Pix) < n {
		f.Pix = make([]byte, n)
	} else {
		f.Pix = f.Pix[:n]
	}
}

// CopyFrom makes f a tightly packed copy of src, growing Pix only where its capacity does not
// suffice.
func (f *Frame) CopyFrom(src *Frame) {
	f.Resize(src.Width, src.Height)
	for y := range f.Height {
		copy(f.Pix[y*f.Stride:(y+1)*f.Stride], src.Pix[y*src.Stride:])
	}
}

// Image is a copy of f that Go's encoders take, opaque.
func (f *Frame) Image() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, f.Width, f.Height))
	for y := range f.Height {
		from, to := f.Pix[y*f.Stride:], img.Pix[y*img.Stride:]
		for x := range f.Width {
			to[4*x], to[4*x+1], to[4*x+2], to[4*x+3] = from[3*x+2], from[3*x+1], from[3*x], 255
		}
	}
	return img
}

// FrameOf is a copy of a picture; what is transparent becomes black.
func FrameOf(img image.Image) *Frame {
	var f Frame
	b := img.Bounds()
	f.Resize(b.Dx(), b.Dy())
	for y := range f.Height {
		to := f.Pix[y*f.Stride:]
		for x := range f.Width {
			r, g, bl, _ := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
			to[3*x], to[3*x+1], to[3*x+2] = byte(bl>>8), byte(g>>8), byte(r>>8)
		}
	}
	return &f
}

// Tensor is a dense batch of pictures for a network: N×C×H×W, float32, row-major.
type Tensor struct {
	Shape [4]int64
	Data  []float32 // len = product of Shape
}

// NewTensor allocates a tensor of n pictures of channels×height×width.
func NewTensor(n, channels, height, width int) *Tensor {
	return &Tensor{
		Shape: [4]int64{int64(n), int64(channels), int64(height), int64(width)},
		Data:  make([]float32, n*channels*height*width),
	}
}

// Logits are raw scores before softmax, N × labels, row by row.
type Logits []float32
