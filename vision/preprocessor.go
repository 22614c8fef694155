package vision

import (
	"fmt"

	"github.com/vggse/vggse-agent/vision/resample"
)

// Preprocessor makes tensors of frames the way a Preprocess declares: resize, crop, channel order,
// then (value·scale − mean) / std, of which a table holds the 256 answers per channel. It keeps the
// weights of the last frame size, so give each camera its own; it must not be used by two
// goroutines at once.
type Preprocessor struct {
	spec   Preprocess
	size   int
	filter resample.Filter
	tables [3][256]float32 // per channel of the frame: blue, green, red
	planes [3]int          // per channel of the frame: its plane in the tensor

	plan          *resample.Plan
	geo           resample.Geometry
	left, top     int // of the picture inside the tensor's plane
	width, height int // of the frame that plan is for
	target        resample.Target
	grey          []byte // of ChannelsGrey: the frame as three equal channels
}

// NewPreprocessor prepares for tensors of size×size pixels.
func NewPreprocessor(p Preprocess, size int) (*Preprocessor, error) {
	if size <= 0 {
		return nil, fmt.Errorf("vision: preprocess: input size must be > 0, got %d", size)
	}
	if err := p.Validate(size); err != nil {
		return nil, fmt.Errorf("vision: preprocess.%w", err)
	}
	pre := &Preprocessor{spec: p, size: size, filter: filters[p.Filter], planes: [3]int{0, 1, 2}}
	if p.Channels != ChannelsBGR {
		pre.planes = [3]int{2, 1, 0}
	}
	for c, plane := range pre.planes {
		for v := range pre.tables[c] {
			pre.tables[c][v] = float32((float64(v)*p.Scale - p.Mean[plane]) / p.Std[plane])
		}
	}
	pre.target.Tables = &pre.tables
	return pre, nil
}

// Apply writes frame f as picture n of the batch t, whose shape must be N×3×size×size with n < N.
// It reads f.Pix and keeps nothing of it. It allocates only when the frame's size is another than
// before. On an error t is as it was.
func (p *Preprocessor) Apply(f *Frame, t *Tensor, n int) error {
	if err := p.check(f, t, n); err != nil {
		return fmt.Errorf("vision: preprocess: %w", err)
	}
	if f.Width != p.width || f.Height != p.height || p.plan == nil {
		if err := p.replan(f.Width, f.Height); err != nil {
			return fmt.Errorf("vision: preprocess: %w", err)
		}
	}
	area := p.size * p.size
	picture := t.Data[3*area*n:][:3*area]
	for c, plane := range p.planes {
		data := picture[plane*area:][:area]
		p.fillBars(data, p.tables[c][p.spec.Fill])
		p.target.Planes[c] = data[p.top*p.size+p.left:]
	}
	p.target.Stride = p.size
	pix, stride := f.Pix, f.Stride
	if p.spec.Channels == ChannelsGrey {
		pix, stride = p.makeGrey(f), 3*f.Width
	}
	if err := p.plan.Apply(&p.target, pix, stride); err != nil {
		return fmt.Errorf("vision: preprocess: %w", err)
	}
	return nil
}

// makeGrey is the frame in grey, by the weights of ITU-R 601 in 16 bits as Pillow has them (L24 of
// src/libImaging/Convert.c), three times.
func (p *Preprocessor) makeGrey(f *Frame) []byte {
	if n := 3 * f.Width * f.Height; cap(p.grey) < n {
		p.grey = make([]byte, n)
	} else {
		p.grey = p.grey[:n]
	}
	for y := range f.Height {
		from, to := f.Pix[y*f.Stride:][:3*f.Width], p.grey[3*y*f.Width:][:3*f.Width]
		for x := 0; x+2 < len(from); x += 3 {
			v := byte((uint32(from[x+2])*19595 + uint32(from[x+1])*38470 + uint32(from[x])*7471 + 0x8000) >> 16)
			to[x], to[x+1], to[x+2] = v, v, v
		}
	}
	return p.grey
}

func (p *Preprocessor) check(f *Frame, t *Tensor, n int) error {
	size := int64(p.size)
	switch {
	case f.Width <= 0 || f.Height <= 0:
		return fmt.Errorf("frame of %d×%d pixels is empty", f.Width, f.Height)
	case f.Stride < 3*f.Width:
		return fmt.Errorf("frame's stride of %d bytes is too small for %d pixels of 3 bytes", f.Stride, f.Width)
	case len(f.Pix) < f.Stride*(f.Height-1)+3*f.Width:
		return fmt.Errorf("frame of %d×%d pixels at stride %d has only %d bytes", f.Width, f.Height, f.Stride,
			len(f.Pix))
	case t.Shape[1] != 3 || t.Shape[2] != size || t.Shape[3] != size:
		return fmt.Errorf("tensor is %v, want N×3×%d×%d", t.Shape, size, size)
	case n < 0 || int64(n) >= t.Shape[0]:
		return fmt.Errorf("picture %d is outside a batch of %d", n, t.Shape[0])
	case int64(len(t.Data)) < 3*size*size*t.Shape[0]:
		return fmt.Errorf("tensor of shape %v has only %d floats", t.Shape, len(t.Data))
	}
	return nil
}

// replan tabulates the resize for frames of width×height.
func (p *Preprocessor) replan(width, height int) error {
	geo, left, top := p.spec.geometry(width, height, p.size)
	plan, err := resample.New(geo, p.filter)
	if err != nil {
		return err
	}
	p.plan, p.geo, p.left, p.top, p.width, p.height = plan, geo, left, top, width, height
	return nil
}

// fillBars writes v into all of a plane that the letterboxed picture leaves free.
func (p *Preprocessor) fillBars(plane []float32, v float32) {
	if p.geo.Width == p.size && p.geo.Height == p.size {
		return
	}
	for y := range p.size {
		row := plane[y*p.size:][:p.size]
		from, to := p.left, p.left+p.geo.Width
		if y < p.top || y >= p.top+p.geo.Height {
			from, to = p.size, p.size
		}
		for x := range row[:from] {
			row[x] = v
		}
		for x := to; x < p.size; x++ {
			row[x] = v
		}
	}
}

// Show writes picture n of the batch t back to f as 8-bit BGR, size×size: what the network sees,
// rounded, and clipped where a filter went beyond black or white. It undoes the table of Apply.
func (p *Preprocessor) Show(t *Tensor, n int, f *Frame) {
	f.Resize(p.size, p.size)
	area := p.size * p.size
	for c, plane := range p.planes {
		black, white := p.tables[c][0], p.tables[c][255]
		scale := 255 / (white - black)
		for i, v := range t.Data[(3*n+plane)*area:][:area] {
			f.Pix[3*i+c] = byte(min(255, max(0, (v-black)*scale+0.5)))
		}
	}
}
