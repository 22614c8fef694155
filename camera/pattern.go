package camera

import (
	"context"

	"github.com/vggse/vggse-agent/vision"
)

// pattern is the camera of test://: colour bars, and below them a block that moves, so that no picture is
// like the one before. It never ends.
type pattern struct {
	bars  picture
	block int // side of the block, pixels
	at    int // of its left edge
	pace  pace
	flip  Flip
}

// patternBars are the colours from left to right, BGR: white, yellow, cyan, green, magenta, red and blue.
var patternBars = [][3]byte{{255, 255, 255}, {0, 255, 255}, {255, 255, 0}, {0, 255, 0}, {255, 0, 255}, {0, 0, 255},
	{255, 0, 0}}

const patternGrey, patternBlock = 64, 192 // the lowest eighth of the picture, and what moves there

func openPattern(u *URI) (source, Info, error) {
	width, height, fps := captureWidth, captureHeight, float64(captureFPS)
	if u.Width > 0 {
		width, height = u.Width, u.Height
	}
	if u.FPS > 0 {
		fps = u.FPS
	}
	p := &pattern{pace: paceOf(fps), flip: u.Flip, block: max(1, height/8)}
	p.bars = picture{pix: make([]byte, 3*width*height), width: width, height: height, channels: 3}
	for i := range width * (height - p.block) {
		copy(p.bars.pix[3*i:], patternBars[i%width*len(patternBars)/width][:])
	}
	p.paint(0, width, patternGrey)
	return p, Info{Kind: "test", Backend: "test", FPS: fps, Live: true}, nil
}

// paint gives the lowest rows, from one column to another, one brightness.
func (p *pattern) paint(from, to int, v byte) {
	for y := p.bars.height - p.block; y < p.bars.height; y++ {
		row := p.bars.pix[3*(y*p.bars.width+from) : 3*(y*p.bars.width+min(to, p.bars.width))]
		for i := range row {
			row[i] = v
		}
	}
}

func (p *pattern) next(ctx context.Context, f *vision.Frame) error {
	if err := p.pace.wait(ctx); err != nil {
		return err
	}
	p.paint(p.at, p.at+p.block, patternGrey)
	p.at = (p.at + max(1, p.block/4)) % p.bars.width
	p.paint(p.at, p.at+p.block, patternBlock)
	return p.bars.copyTo(f, p.flip)
}

func (p *pattern) close() error { return nil }
