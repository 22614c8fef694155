package demo

import (
	"math"

	"github.com/vggse/vggse-agent/vision"
)

const (
	masterSide = 512 // texels of the belt's texture, one pixel each at 720 rows
	noiseSpan  = 1 << 14
	levels     = 1024 // of the table from light to pixel: below 0 and above 255 are clamped by it
	black      = 256  // its entry for level 0
)

// belt paints everything that is not a part: rubber, rails, light, noise.
type belt struct {
	width, height int
	side          int     // texels of tile at this resolution
	tile          []uint8 // texture around 128
	columns       []int32 // light of each column, 256 is full
	rows          []int32 // light of each row
	rail          []int32 // grey level of the rail in each row; 0 is belt
	phase         int     // of the texture, in both directions
	grain         []float32
	noise         []int32          // grain at the frame's noise level
	table         [3][levels]uint8 // grey level with noise → B, G, R of belt and rail
	clamped       [levels]uint8    // sum with noise → pixel
	flat          [256]int32       // texture → grey level of the belt
	gain          int32            // exposure, 256 is 1
}

func (b *belt) alloc(width, height int) {
	b.width, b.height = width, height
	b.side = max(8, masterSide*height/720)
	b.tile = texture(b.side)
	b.columns, b.rows = make([]int32, width), make([]int32, height)
	b.rail = make([]int32, height)
	b.grain, b.noise = make([]float32, noiseSpan+width), make([]int32, noiseSpan+width)
	r := mix(0x6a11)
	for i := range b.grain {
		b.grain[i] = float32(r.normal())
	}
	for i := range b.clamped {
		b.clamped[i] = uint8(min(max(i-black, 0), 255))
	}
	for y := range b.rail {
		b.rail[y] = railLevel(math.Abs((float64(y)+0.5)/float64(height) - 0.5))
	}
}

// light sets the fall-off of a scene: brighter towards the lamp, darker towards the corners.
func (b *belt) light(l *look) {
	b.phase = int(l.phase * float64(b.side))
	fall := func(t, lean float64) int32 {
		return int32(256 * math.Exp(lean*t-0.28*t*t))
	}
	for x := range b.columns {
		t := (float64(x)+0.5)/float64(b.height) - float64(b.width)/float64(b.height)/2
		b.columns[x] = fall(t, 0.3*l.lightX)
	}
	for y := range b.rows {
		b.rows[y] = fall((float64(y)+0.5)/float64(b.height)-0.5, 0.3*l.lightY)
	}
}

// expose makes the tables of one frame.
func (b *belt) expose(l *look, level, sigma float64) {
	b.gain = int32(256 * level)
	for i, g := range b.grain {
		b.noise[i] = int32(math.RoundToEven(float64(g) * sigma))
	}
	for c := range b.table {
		for i := range b.table[c] {
			b.table[c][i] = uint8(min(max(float64(i-black)*l.tint[c], 0), 255))
		}
	}
	for i := range b.flat {
		b.flat[i] = int32(max(l.belt+(float64(i)-128)*l.rough*0.6, 4))
	}
}

// noiseRow is the noise of one row: a stretch of the grain that starts anywhere.
func (b *belt) noiseRow(seed random, y int) []int32 {
	r := mix(uint64(seed), uint64(y))
	at := r.below(noiseSpan)
	return b.noise[at : at+b.width]
}

func (b *belt) paint(f *vision.Frame, moved int, seed random) {
	for y := range b.height {
		noise := b.noiseRow(seed, y)
		row := f.Pix[y*f.Stride : y*f.Stride+3*b.width]
		light := b.rows[y] * b.gain >> 8
		if grey := b.rail[y]; grey > 0 {
			b.paintRun(row, noise, b.columns, nil, grey*light)
			continue
		}
		line := b.tile[(y+b.phase)%b.side*b.side:][:b.side]
		from := (moved + b.phase) % b.side
		if from < 0 {
			from += b.side
		}
		for x := 0; x < b.width; {
			n := min(b.side-from, b.width-x)
			b.paintRun(row[3*x:3*(x+n)], noise[x:x+n], b.columns[x:x+n], line[from:from+n], light)
			x, from = x+n, 0
		}
	}
}

// paintRun writes len(noise) pixels: of the texture line at the given light, or of a plain level
// where line is nil.
func (b *belt) paintRun(row []uint8, noise, columns []int32, line []uint8, light int32) {
	columns = columns[:len(noise)]
	row = row[:3*len(noise)]
	if line == nil {
		for x, n := range noise {
			v := (columns[x]*(light>>8)>>8 + n + black) & (levels - 1)
			row[3*x], row[3*x+1], row[3*x+2] = b.table[0][v], b.table[1][v], b.table[2][v]
		}
		return
	}
	line = line[:len(noise)]
	for x, n := range noise {
		v := (b.flat[line[x]]*(columns[x]*light>>8)>>8 + n + black) & (levels - 1)
		row[3*x], row[3*x+1], row[3*x+2] = b.table[0][v], b.table[1][v], b.table[2][v]
	}
}

// place lays a sprite and its shadow over the painted belt; originX, originY is the pixel of belt
// position 0.
func (b *belt) place(f *vision.Frame, sp *sprite, originX, originY int, seed random) {
	left, top := originX+sp.left, originY+sp.top
	x0, x1 := max(0, -left), min(sp.side, b.width-left)
	if x0 >= x1 {
		return
	}
	for sy := max(0, -top); sy < min(sp.side, b.height-top); sy++ {
		y := top + sy
		noise := b.noiseRow(seed, y)[left+x0 : left+x1]
		columns := b.columns[left+x0 : left+x1]
		light := b.rows[y] * b.gain >> 8
		out := f.Pix[y*f.Stride+3*(left+x0):][:3*len(noise)]
		pix := sp.pix[4*(sy*sp.side+x0):][:4*len(noise)]
		shade := sp.shade[sy*sp.side+x0:][:len(noise)]
		for x, n := range noise {
			a := int32(pix[4*x+3])
			if a == 0 && shade[x] == 0 {
				continue
			}
			keep := (255 - a) * (255 - int32(shade[x])) // of the belt, 255² is all
			lit := columns[x] * light >> 8
			n = n*a>>8 + black
			for c := range 3 {
				v := int32(out[3*x+c])*keep/(255*255) + int32(pix[4*x+c])*lit>>8
				out[3*x+c] = b.clamped[(v+n)&(levels-1)]
			}
		}
	}
}
