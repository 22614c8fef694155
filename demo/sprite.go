package demo

import "math"

// sprite is one drawn slot: part, clutter and shadow, sharp or blurred, before light and noise.
type sprite struct {
	index     int64
	rows      float64 // of the frame: pixels per frame height
	capacity  int     // largest side
	side      int
	left, top int     // of the first pixel, from belt position 0 and the middle of the belt
	pix       []uint8 // B G R A, colour multiplied by alpha
	shade     []uint8 // darkness of the shadow
	height    []float32
	copy      []uint8 // scratch of the blur, as sums
	sums      []int32
}

// metals are the colours of parts, B G R, and how much they mirror.
var metals = [...]struct {
	colour [3]float64
	mirror float64
}{
	{[3]float64{168, 170, 172}, 0.9},  // bright steel
	{[3]float64{140, 138, 134}, 0.7},  // zinc
	{[3]float64{82, 148, 186}, 0.8},   // brass
	{[3]float64{84, 112, 172}, 0.8},   // copper
	{[3]float64{66, 60, 58}, 0.5},     // black oxide
	{[3]float64{104, 106, 108}, 0.35}, // blasted steel
}

const spriteMargin = 0.055 // for shadow, blur and clutter around a part

func (sp *sprite) alloc(height int) {
	sp.rows = float64(height)
	sp.capacity = 2*int(math.Ceil((unitRadius*1.05+spriteMargin)*sp.rows)) + 1
	n := sp.capacity * sp.capacity
	sp.pix, sp.shade = make([]uint8, 4*n), make([]uint8, n)
	sp.height, sp.copy, sp.sums = make([]float32, n), make([]uint8, 4*n), make([]int32, 4*sp.capacity)
}

// draw renders slot sl anew.
func (sp *sprite) draw(sl *slot, l *look) {
	sp.index = sl.index
	reach := max(partOf(sl.class).reach*sl.unit, 0.16) + spriteMargin
	half := min(int(math.Ceil(reach*sp.rows)), sp.capacity/2)
	sp.side = 2*half + 1
	sp.left = int(math.Round(sl.x*sp.rows)) - half
	sp.top = int(math.Round(sl.y*sp.rows)) - half
	clear(sp.pix[:4*sp.side*sp.side])
	if partOf(sl.class).outline != nil {
		sp.relief(sl, half)
		sp.metal(sl, l)
	}
	sp.clutter(sl, half)
	sp.blur(sp.pix, 4, sp.spread(sl.blur), sp.spread(sl.blur+sl.jog))
	sp.cast(l)
}

// relief fills height (in pixels) and alpha from the part's outline.
func (sp *sprite) relief(sl *slot, half int) {
	p := partOf(sl.class)
	scale := sl.unit * sp.rows
	limit := (p.reach + 1.5/scale) * (p.reach + 1.5/scale)
	for py := range sp.side {
		for px := range sp.side {
			dx, dy := float64(px-half)/scale, float64(py-half)/scale
			at := py*sp.side + px
			sp.height[at] = 0
			if dx*dx+dy*dy > limit {
				continue
			}
			d, z := p.outline(dx*sl.cos+dy*sl.sin, dy*sl.cos-dx*sl.sin, &sl.variant)
			if cover := clamp(0.5 - d*scale); cover > 0 {
				sp.pix[4*at+3] = uint8(255*cover + 0.5)
				sp.height[at] = float32(z * scale)
			}
		}
	}
}

// metal colours every covered pixel by the slope of the relief: ambient, diffuse, a soft highlight
// and a tight one, over a brushed grain.
func (sp *sprite) metal(sl *slot, l *look) {
	m := &metals[sl.metal]
	norm := 1 / math.Sqrt(1+l.elevation*l.elevation)
	lx, ly, lz := l.lightX*norm, l.lightY*norm, l.elevation*norm
	hn := 1 / math.Sqrt(lx*lx+ly*ly+(lz+1)*(lz+1))
	mirror := m.mirror * (1 - 0.7*sl.dull)
	grain := mix(sl.seed, 0x64a1)
	// Slopes span, and grain averages to, what they do at 180 rows.
	fine := sp.rows / 180
	step := max(1, int(math.Round(fine)))
	for y := step; y < sp.side-step; y++ {
		brushed := grain.between(-0.07, 0.07) * (1 - sl.dull) * math.Sqrt(fine)
		for x := step; x < sp.side-step; x++ {
			at := y*sp.side + x
			a := sp.pix[4*at+3]
			if a == 0 {
				continue
			}
			h, below := sp.height, step*sp.side
			nx := limitSlope(float64(h[at-step]-h[at+step]) / float64(2*step))
			ny := limitSlope(float64(h[at-below]-h[at+below]) / float64(2*step))
			n := 1 / math.Sqrt(1+nx*nx+ny*ny)
			diffuse := max(0, (nx*lx+ny*ly+lz)*n)
			gloss := max(0, (nx*lx+ny*ly+lz+1)*hn*n)
			gloss *= gloss * gloss
			soft := gloss * gloss
			tight := soft * soft * soft * soft
			body := 0.3 + 0.62*diffuse + 0.25*mirror*soft + brushed + grain.between(-0.05, 0.05)*sl.dull*fine
			for c := range 3 {
				v := m.colour[c]*body + 120*mirror*tight
				sp.pix[4*at+c] = uint8(min(max(v, 0), 255) * float64(a) / 255)
			}
		}
	}
}

func limitSlope(s float64) float64 { return max(-2.5, min(2.5, s)) }

// clutter strews curled chips and grit over the slot, some of it on the part.
func (sp *sprite) clutter(sl *slot, half int) {
	r := mix(sl.seed, 0xc41b)
	for range sl.chips {
		turn, away := r.between(0, 2*math.Pi), 0.2*math.Sqrt(r.unit())
		sin, cos := math.Sincos(turn)
		x, y := float64(half)+away*cos*sp.rows, float64(half)+away*sin*sp.rows
		radius := r.between(0.006, 0.026) * sp.rows
		wire := r.between(0.0016, 0.0042) * sp.rows
		if r.below(3) == 0 {
			radius, wire = 0, r.between(0.003, 0.008)*sp.rows
		}
		open := r.between(-0.6, 0.8)
		grey := r.between(40, 210)
		sin, cos = math.Sincos(r.between(0, 2*math.Pi))
		sp.chip(x, y, radius, wire, open, sin, cos, grey)
	}
}

// chip draws an arc of wire, or a grain where radius is 0.
func (sp *sprite) chip(cx, cy, radius, wire, open, sin, cos, grey float64) {
	reach := radius + wire + 1
	for y := max(0, int(cy-reach)); y <= min(sp.side-1, int(cy+reach)); y++ {
		for x := max(0, int(cx-reach)); x <= min(sp.side-1, int(cx+reach)); x++ {
			dx, dy := float64(x)-cx, float64(y)-cy
			u, v := dx*cos+dy*sin, dy*cos-dx*sin
			d := math.Abs(length(u, v)-radius) - wire
			if radius > 0 {
				d = max(d, u-open*radius)
			}
			cover := clamp(0.5 - d)
			if cover == 0 {
				continue
			}
			tone := grey * (0.7 + 0.5*clamp(0.5-v/(2*reach)))
			p := sp.pix[4*(y*sp.side+x):][:4]
			for c := range 3 {
				p[c] = uint8(float64(p[c])*(1-cover) + min(tone, 255)*cover)
			}
			p[3] = uint8(float64(p[3])*(1-cover) + 255*cover)
		}
	}
}

// cast makes the shadow from alpha: blurred, moved away from the light.
func (sp *sprite) cast(l *look) {
	for i := range sp.side * sp.side {
		sp.shade[i] = 0
	}
	throw := 0.022 / l.elevation * sp.rows
	dx, dy := int(math.Round(-l.lightX*throw)), int(math.Round(-l.lightY*throw))
	for y := max(0, dy); y < min(sp.side, sp.side+dy); y++ {
		for x := max(0, dx); x < min(sp.side, sp.side+dx); x++ {
			a := uint32(sp.pix[4*((y-dy)*sp.side+x-dx)+3])
			sp.shade[y*sp.side+x] = uint8(a * 165 / 255)
		}
	}
	soft := sp.spread(0.011)
	sp.blur(sp.shade, 1, soft, soft)
}

// spread is the blur radius in pixels for one in frame heights. A pixel is itself a blur: what one
// of 180 rows takes in, finer ones are spread over, so that a network sees the same from every
// resolution.
func (sp *sprite) spread(radius float64) float64 {
	return max(0, (radius+0.5/180)*sp.rows-0.5)
}
