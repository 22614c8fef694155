// Package resample turns an interleaved 8-bit picture of three channels into three float planes of
// another size: one resize, one crop and one table per channel, in one pass over the rows. Each
// filter gives what the library gives that it is named after.
//
// Of Area, where the picture shrinks, the vertical sum comes first, over the columns that the crop
// needs and no others, into a row of 16-bit numbers with four bits behind the point; the horizontal
// sum makes bytes of it, and the table makes floats of those. Pillow's filters go in Pillow's order
// and weights. All these sums are integers, so the vector kernel (cgo, amd64 and arm64) and the
// plain Go code give the same bits.
package resample

import "fmt"

// fraction is the number of bits behind the point between the two sums. The largest weights follow
// from it: 255·2^fraction·2^shift, and the half that rounds it, must stay below 2^31.
const (
	fraction     = 4
	maxShiftDown = 22
	maxShiftLeft = 23 - fraction
)

// Geometry says which part of which resize is wanted, in pixels.
type Geometry struct {
	SrcWidth, SrcHeight int
	DstWidth, DstHeight int // the whole picture after the resize
	X, Y, Width, Height int // the window of it that is computed
}

// Target is where a window goes.
type Target struct {
	Planes [3][]float32     // per source channel; the first element is the window's top left corner
	Stride int              // of the planes, in floats
	Tables *[3][256]float32 // per source channel: what to write for each byte
}

// Plan holds the tables for one Geometry and one Filter. It keeps a row in between, so it must not
// be used by two goroutines at once.
type Plan struct {
	x, y    axis
	columns int // source columns that the window needs
	offset  int // of the first of them, in bytes
	geo     Geometry
	kernel  int      // way through the vector kernel; -1 for the plain Go code
	row     []int16  // one row after the vertical sum, interleaved, with room for padded weights
	sums    []int32  // of the plain Go code
	pillow  *pillow  // for Pillow's filters; nil: the others
	sampled *sampled // for those with a fixed number of taps; nil: the others
}

// New tabulates a resize. The error names the number that cannot be.
func New(g Geometry, f Filter) (*Plan, error) {
	switch {
	case g.SrcWidth <= 0 || g.SrcHeight <= 0:
		return nil, fmt.Errorf("resample: source of %d×%d pixels is empty", g.SrcWidth, g.SrcHeight)
	case g.Width <= 0 || g.Height <= 0 || g.X < 0 || g.Y < 0 || g.X+g.Width > g.DstWidth || g.Y+g.Height > g.DstHeight:
		return nil, fmt.Errorf("resample: window %d×%d at %d,%d is not inside %d×%d",
			g.Width, g.Height, g.X, g.Y, g.DstWidth, g.DstHeight)
	}
	if f == Cubic || f == TFBilinear || f == Linear ||
		f == Area && (g.DstWidth > g.SrcWidth || g.DstHeight > g.SrcHeight) {
		return &Plan{geo: g, kernel: kernels() - 1, sampled: newSampled(f, &g)}, nil
	}
	if _, _, ok := f.kernelOf(); ok {
		return &Plan{geo: g, kernel: kernels() - 1, pillow: newPillow(f, &g)}, nil
	}
	p := &Plan{
		geo: g, kernel: kernels() - 1,
		x: newAxis(g.SrcWidth, g.DstWidth, g.X, g.Width, maxShiftLeft),
		y: newAxis(g.SrcHeight, g.DstHeight, g.Y, g.Height, maxShiftDown),
	}
	lo, hi := p.x.reach()
	for i := range p.x.first {
		p.x.first[i] -= int32(lo)
	}
	p.columns, p.offset = hi-lo, 3*lo
	p.row = make([]int16, 3*(p.columns+p.x.taps)) // the kernel reads as far as weights of zero go, and two more
	return p, nil
}

// Apply computes the window of the picture src, whose rows lie stride bytes apart. It allocates
// nothing after its first call.
func (p *Plan) Apply(dst *Target, src []byte, stride int) error {
	g := &p.geo
	if stride < 3*g.SrcWidth {
		return fmt.Errorf("resample: stride of %d bytes is too small for %d pixels of 3 bytes", stride, g.SrcWidth)
	}
	if need := stride*(g.SrcHeight-1) + 3*g.SrcWidth; len(src) < need {
		return fmt.Errorf("resample: %d×%d pixels need %d bytes, got %d", g.SrcWidth, g.SrcHeight, need, len(src))
	}
	for c, plane := range dst.Planes {
		if need := dst.Stride*(g.Height-1) + g.Width; dst.Stride < g.Width || len(plane) < need {
			return fmt.Errorf("resample: plane %d: %d×%d floats at stride %d need %d, got %d",
				c, g.Width, g.Height, dst.Stride, need, len(plane))
		}
	}
	switch {
	case p.sampled != nil && p.kernel < 0:
		p.sampled.apply(dst, src, stride)
	case p.sampled != nil:
		p.sampled.applyKernel(dst, src, stride)
	case p.pillow != nil && p.kernel < 0:
		p.pillow.apply(dst, src, stride)
	case p.pillow != nil:
		p.pillow.applyKernel(p.kernel, dst, src, stride)
	case p.kernel < 0:
		p.applyPlain(dst, src, stride)
	default:
		p.applyKernel(p.kernel, dst, src, stride)
	}
	return nil
}
