package camera

import (
	"encoding/binary"
	"fmt"

	"github.com/vggse/vggse-agent/vision"
)

// picture is what a decoder hands out: rows from top to bottom without gaps, one byte per channel;
// 1 channel is grey, 3 are BGR, 4 are BGR and a byte that says nothing. It is valid until the
// decoder's next call.
type picture struct {
	pix                     []byte
	width, height, channels int
}

// copyTo writes p into f, turned by flip: the one copy between a decoder's memory and ours.
func (p *picture) copyTo(f *vision.Frame, flip Flip) error {
	if p.width <= 0 || p.height <= 0 || len(p.pix) < p.width*p.height*p.channels {
		return fmt.Errorf("the decoder gave a picture of %d×%d pixels in %d bytes", p.width, p.height, len(p.pix))
	}
	switch flip {
	case FlipClockwise, FlipCounterclockwise:
		f.Resize(p.height, p.width)
	default:
		f.Resize(p.width, p.height)
	}
	// Pixel (x, y) of p goes to first + x·right + y·down in f.
	first, right, down := 0, 3, f.Stride
	last := f.Stride*(f.Height-1) + 3*(f.Width-1)
	switch flip {
	case FlipRotate180:
		first, right, down = last, -3, -f.Stride
	case FlipHorizontal:
		first, right = 3*(f.Width-1), -3
	case FlipVertical:
		first, down = f.Stride*(f.Height-1), -f.Stride
	case FlipClockwise:
		first, right, down = 3*(f.Width-1), f.Stride, -3
	case FlipCounterclockwise:
		first, right, down = f.Stride*(f.Height-1), -f.Stride, 3
	}
	if p.channels == 3 && flip == FlipNone {
		copy(f.Pix, p.pix)
		return nil
	}
	for y := range p.height {
		row, at := p.pix[y*p.width*p.channels:][:p.width*p.channels], first+y*down
		switch {
		case p.channels == 4 && right == 3:
			dropFourth(f.Pix[at:], row)
		case p.channels == 4 || p.channels == 3:
			turnRow(f.Pix, row, at, right, p.channels)
		case p.channels == 1:
			for _, v := range row {
				f.Pix[at], f.Pix[at+1], f.Pix[at+2] = v, v, v
				at += right
			}
		default:
			return fmt.Errorf("the decoder gave a picture of %d channels, want 1, 3 or 4", p.channels)
		}
	}
	return nil
}

// dropFourth copies a row of BGRx as BGR, four pixels at a time.
func dropFourth(dst, row []byte) {
	for len(row) >= 16 && len(dst) >= 12 {
		a, b := binary.LittleEndian.Uint64(row), binary.LittleEndian.Uint64(row[8:])
		a = a&0xFFFFFF | a>>32<<24&0xFFFFFF000000 // two pixels in six bytes
		b = b&0xFFFFFF | b>>32<<24&0xFFFFFF000000
		binary.LittleEndian.PutUint64(dst, a|b<<48)
		binary.LittleEndian.PutUint32(dst[8:], uint32(b>>16))
		row, dst = row[16:], dst[12:]
	}
	turnRow(dst, row, 0, 3, 4)
}

// turnRow copies a row of channels bytes a pixel to dst, from at onwards in steps of right bytes.
func turnRow(dst, row []byte, at, right, channels int) {
	for i := 0; i+channels <= len(row); i += channels {
		dst[at], dst[at+1], dst[at+2] = row[i], row[i+1], row[i+2]
		at += right
	}
}
