package demo

import "math"

// A part is described in its own units, in which it lies within the unit circle. Its outline is a
// signed distance (negative inside) and its relief a height above the belt; both follow from x, y
// and four proportions in 0..1 that vary within the class.
type part struct {
	label   string
	reach   float64 // radius of the circle that holds it
	outline func(x, y float64, v *[4]float64) (distance, height float64)
}

// empty is the class of bare belt.
const empty = 4

// parts are the classes in the order of their labels, which is the order torchvision's ImageFolder
// gives. Pairs are alike on purpose: bolts that differ by their thickness alone, a gear with two
// broken teeth, a washer with a slit.
var parts = [...]part{
	{"bearing", 0.90, bearing},
	{"bolt-m6", 1, boltM6},
	{"bolt-m8", 1, boltM8},
	{"bracket", 1.02, bracket},
	empty: {"empty", 0, nil},
	{"gear", 0.95, gear},
	{"gear-chipped", 0.95, gearChipped},
	{"nut", 0.86, nut},
	{"pin", 0.84, pin},
	{"screw", 0.97, screw},
	{"spring", 0.97, spring},
	{"washer", 0.86, washer},
	{"washer-split", 0.86, washerSplit},
}

// stranger is the class of a part that the demo's network does not know: a handle with five lobes.
const stranger = len(parts)

// Stranger is the label of that part.
const Stranger = "star-knob"

var knob = part{Stranger, 1, starKnob}

// partOf is the part of a class.
func partOf(class int) *part {
	if class == stranger {
		return &knob
	}
	return &parts[class]
}

// Classes returns the labels of the demo in the order of the network's rows.
func Classes() []string {
	labels := make([]string, len(parts))
	for i := range parts {
		labels[i] = parts[i].label
	}
	return labels
}

func bearing(x, y float64, v *[4]float64) (float64, float64) {
	r := length(x, y)
	bore := 0.27 + 0.1*v[0]
	d := max(r-0.88, bore-r)
	inner, outer := bore+0.15, 0.7
	z := max(flat(max(r-inner, bore-r), 0.15, 0.04), flat(max(r-0.88, outer-r), 0.15, 0.04))
	middle, ball := (inner+outer)/2, (outer-inner)*0.48
	step := 2 * math.Pi / math.Floor(2*math.Pi*middle/(2.25*ball))
	a := math.Atan2(y, x)
	a -= step * math.Round(a/step)
	bx, by := r*math.Cos(a)-middle, r*math.Sin(a)
	return d, max(z, 0.02+math.Sqrt(max(0, ball*ball-bx*bx-by*by)))
}

func boltM6(x, y float64, v *[4]float64) (float64, float64) { return bolt(x, y, 0.66, v) }

func boltM8(x, y float64, v *[4]float64) (float64, float64) { return bolt(x, y, 1, v) }

// bolt lies along x, its hexagonal head at the left showing two or three faces.
func bolt(x, y, scale float64, v *[4]float64) (float64, float64) {
	half := 0.62 + 0.3*v[0]
	head, width, shank := 0.3*scale, 0.37*scale, 0.175*scale
	neck := head - half
	ridge, z := thread(x, y, shank, 0.085*scale, x > neck+0.7*v[1]*half)
	shaft := max(math.Abs(y)-shank-ridge, max(x-half, neck-0.05-x))
	tip := half - x
	if tip < 0.06 {
		shaft = max(shaft, math.Abs(y)-shank+0.06-tip)
	}
	block := max(math.Abs(y)-width, math.Abs(x+half-head/2)-head/2)
	if block < 0 {
		// Faces of a hexagonal prism: the middle one is level, its neighbours fall away.
		fall := max(0, math.Abs(y-width*(0.3*v[2]-0.15))-width*0.5)
		z = max(z, flat(block, width*0.9-0.8*fall, 0.03))
	}
	return min(shaft, block), z
}

// thread is a round shaft along x: how far its outline is thicker, and its height, both rippled
// where cut.
func thread(x, y, radius, pitch float64, cut bool) (ridge, z float64) {
	z = math.Sqrt(max(0, radius*radius-y*y))
	if !cut {
		return 0, z
	}
	wave := math.Abs(math.Mod(x+0.18*y+9, pitch)/pitch-0.5) * 2
	return 0.03*wave - 0.015, z + 0.4*pitch*(wave-0.5)
}

func bracket(x, y float64, v *[4]float64) (float64, float64) {
	arm := 0.38 + 0.08*v[0]
	long, short := 0.72+0.03*v[1], 0.5+0.2*v[2]
	d := min(
		box(x, y+long-arm/2-0.05, long, arm/2, 0.06),
		box(x+long-arm/2, y+long-0.05-short, arm/2, short, 0.06))
	for _, h := range [3][2]float64{{0, 0}, {2*long - arm, 0}, {0, 2*short - arm}} {
		d = max(d, 0.09+0.03*v[3]-length(x+long-arm/2-h[0], y+long-arm/2-0.05-h[1]))
	}
	return d, flat(d, 0.09, 0.04)
}

func gear(x, y float64, v *[4]float64) (float64, float64) { return toothed(x, y, false, v) }

func gearChipped(x, y float64, v *[4]float64) (float64, float64) { return toothed(x, y, true, v) }

// toothed is a spur gear with 13 teeth; chipped, two neighbours are broken off near the root.
func toothed(x, y float64, chipped bool, v *[4]float64) (float64, float64) {
	const teeth = 13
	r, turn := length(x, y), math.Atan2(y, x)*teeth/(2*math.Pi)
	tooth := math.Round(turn)
	top := 0.93
	if chipped && (tooth == 0 || tooth == 1) {
		top = 0.74 + 0.05*v[3] + 0.06*(turn-tooth)
	}
	flank := 0.93 - 0.17*clamp((math.Abs(turn-tooth)-0.17)/0.17)
	bore := 0.16 + 0.08*v[0]
	d := max(r-min(flank, top), bore-r)
	web := 0.07 + 0.05*v[1]
	z := max(flat(max(r-0.36, bore-r), 0.2, 0.04), flat(max(d, 0.64-r), 0.18, 0.04))
	return d, max(z, flat(d, web, 0.03))
}

func nut(x, y float64, v *[4]float64) (float64, float64) {
	r := length(x, y)
	x, y = math.Abs(x), math.Abs(y)
	hex := max(y, x*math.Sqrt(3)/2+y/2) - 0.72
	bore := 0.34 + 0.1*v[0]
	d := max(hex, bore-r)
	top := 0.26 - 0.7*max(0, r-0.68) - 0.9*max(0, bore+0.06-r)
	return d, min(flat(d, 0.3, 0.03), top)
}

func pin(x, y float64, v *[4]float64) (float64, float64) {
	half, radius := 0.5+0.25*v[0], 0.17+0.07*v[1]
	d := box(x, y, half, radius, 0.05)
	groove := 0.03 * clamp(1-math.Abs(math.Abs(x)-half*0.72)/0.04) * math.Round(v[2])
	return d, math.Sqrt(max(0, radius*radius-y*y)) - groove
}

// screw lies along x: a countersunk head at the left, a coarse thread, a point at the right.
func screw(x, y float64, v *[4]float64) (float64, float64) {
	half := 0.66 + 0.22*v[0]
	head, radius := 0.34+0.05*v[1], 0.15+0.02*v[2]
	along := x + half
	body := radius * clamp((half-x)/0.3)
	ridge, z := thread(x, y, body, 0.13, along > 0.4)
	cone := head - (along-0.06)*(head-radius)/0.24
	width := body + ridge
	if along < 0.3 {
		width = min(head, cone)
		z = math.Sqrt(max(0, width*width-y*y))
	}
	return max((math.Abs(y)-width)*0.8, max(x-half, -along)), z
}

// spring is a helix seen from the side: near strands high, far strands low.
func spring(x, y float64, v *[4]float64) (float64, float64) {
	half, radius, wire := 0.66+0.18*v[0], 0.24+0.06*v[1], 0.045+0.015*v[2]
	k := math.Pi * (4 + math.Floor(4*v[3])) / half
	s, c := math.Sincos(k * x)
	steep := 1 / math.Sqrt(1+radius*radius*k*k*s*s)
	near, far := math.Abs(y-radius*c)*steep-wire, math.Abs(y+radius*c)*steep-wire
	end := math.Abs(x) - half
	end = max(end, math.Abs(y)-radius-wire) // the estimate of distance fails where the wave turns
	near, far = max(near, end), max(far, end)
	end = box(math.Abs(x)-half, y, wire, radius+wire, wire)
	d := min(near, min(far, end))
	z := round(far, wire)
	if w := min(near, end); w < 0 {
		z = wire + round(w, wire)
	}
	return d, z
}

func washer(x, y float64, v *[4]float64) (float64, float64) {
	r := length(x, y)
	d := max(r-0.74-0.1*v[0], 0.36+0.14*v[1]-r)
	return d, flat(d, 0.09, 0.05)
}

// washerSplit is a spring washer: the same ring with a slanting slit.
func washerSplit(x, y float64, v *[4]float64) (float64, float64) {
	d, z := washer(x, y, v)
	if x > 0 {
		d = max(d, 0.07+0.05*v[2]-math.Abs(y+0.4*(x-0.6)))
		z = min(z, flat(d, 0.09, 0.05))
	}
	return d, z
}

// starKnob is a handle with five lobes around a bore.
func starKnob(x, y float64, v *[4]float64) (float64, float64) {
	r, turn := length(x, y), math.Atan2(y, x)*5/(2*math.Pi)
	lobe := math.Cos(2 * math.Pi * (turn - math.Round(turn)))
	edge := 0.66 + 0.06*v[1] + 0.22*lobe
	d := max((r-edge)*0.75, 0.12+0.06*v[0]-r)
	return d, max(flat(d, 0.14, 0.1), flat(r-0.34-0.05*v[2], 0.34, 0.05))
}
