package demo

import (
	"math"

	"github.com/vggse/vggse-agent/vision"
)

// Lengths are in frame heights: the camera hangs at a fixed height and parts keep their size.
const (
	travelPerFrame = 0.02  // at 15 frames a second, 0.3 frame heights a second
	pitch          = 1.4   // between slots: the centre crop then holds one part or none
	unitRadius     = 0.25  // of a part's unit circle, before its own variation
	named          = 0.33  // a part names the frame while its centre is this close to the middle
	railAt         = 0.455 // where the belt ends and the rail begins, above and below the middle
)

// Scene is one conveyor under one camera. It keeps tables, scratch memory and the last few drawn
// parts, so it is not for concurrent use: one Scene per goroutine.
type Scene struct {
	width, height int
	look          look
	belt          belt
	sprites       [3]sprite
	forced        int // class of slot 0 where ≥ 0, for datasets
	// Strangers is how many places on the belt come to one with a part that the demo's network does
	// not know; 0: there is none. Set it before the first Render.
	Strangers int
}

// look is what one seed fixes for a whole scene.
type look struct {
	seed           uint64
	tint           [3]float64 // of the light, B G R
	lightX, lightY float64    // where the light comes from, unit vector
	elevation      float64    // height of the light over the belt, tangent
	belt           float64    // mean grey level of the belt
	rough          float64    // contrast of its texture
	phase          float64    // of the belt's texture at the start, 0..1
}

// slot is one place on the belt: a part or none, and the conditions while it passes.
type slot struct {
	index     int64
	seed      uint64
	class     int
	x, y      float64    // centre, x along the belt from its start
	sin, cos  float64    // of the part's angle
	unit      float64    // radius of the part's unit circle
	variant   [4]float64 // proportions within the class
	metal     int
	dull      float64 // 0 polished … 1 matt
	chips     int
	level     float64 // exposure, 1 is normal
	noise     float64 // standard deviation at 720 rows
	blur, jog float64 // defocus, and motion blur along the belt
}

// NewScene makes the scene of a seed, drawn at width×height pixels. It allocates all the memory
// that Render will need (about 9 MB at 1280×720).
func NewScene(seed uint64, width, height int) *Scene {
	s := &Scene{width: width, height: height, forced: -1}
	s.belt.alloc(width, height)
	for i := range s.sprites {
		s.sprites[i].alloc(height)
	}
	s.reseed(seed)
	return s
}

// reseed turns s into the scene of another seed without allocating.
func (s *Scene) reseed(seed uint64) {
	r := mix(seed, 0x100c)
	l := look{seed: seed}
	warm := r.between(-0.09, 0.09)
	l.tint = [3]float64{1 - warm, 1 + 0.02*r.normal(), 1 + warm}
	l.lightY, l.lightX = math.Sincos(r.between(0, 2*math.Pi))
	l.elevation = r.between(0.7, 1.8)
	l.belt = r.between(50, 130)
	l.rough = r.between(0.5, 1.6)
	l.phase = r.unit()
	s.look = l
	s.belt.light(&s.look)
	for i := range s.sprites {
		s.sprites[i].index = math.MinInt64
	}
}

// slotAt derives slot k from the seed alone.
func (s *Scene) slotAt(k int64) slot {
	r := mix(s.look.seed, uint64(k), 0x5107)
	sl := slot{index: k, seed: r.next(), class: r.below(len(parts))}
	if s.Strangers > 0 && k%int64(s.Strangers) == 0 {
		sl.class = stranger
	}
	if k == 0 && s.forced >= 0 {
		sl.class = s.forced
	}
	sl.x = float64(k)*pitch + r.between(-0.06, 0.06)
	sl.y = r.between(-0.09, 0.09)
	sl.sin, sl.cos = math.Sincos(r.between(0, 2*math.Pi))
	sl.unit = unitRadius * r.between(0.95, 1.05)
	for i := range sl.variant {
		sl.variant[i] = r.unit()
	}
	sl.metal = r.below(len(metals))
	sl.dull = r.unit()
	sl.chips = max(0, r.below(9)-2)
	dark := r.unit()
	sl.level = 1.2 - 0.55*dark*dark
	sl.noise = (3 + 12*r.unit()) / math.Sqrt(sl.level)
	focus := r.unit()
	sl.blur = 0.0005 + 0.008*focus*focus
	sl.jog = 0.005 * r.unit()
	return sl
}

// travel is how far the belt has moved at frame n.
func travel(n uint64) float64 { return float64(n)*travelPerFrame - 0.45 }

// Label returns the class of frame n, an index into Classes, or their number for a Stranger: the
// part whose centre is within a third of a frame height of the middle, which is when at least two
// thirds of it lie in the centre crop.
func (s *Scene) Label(n uint64) int { return s.labelAt(travel(n)) }

func (s *Scene) labelAt(at float64) int {
	sl := s.slotAt(int64(math.Round(at / pitch)))
	if math.Abs(sl.x-at) > named {
		return empty
	}
	return sl.class
}

// Render draws frame n into f: BGR, f.Pix grown only if too small, no other allocation. Camera, Seq
// and Time are left alone. At 1280×720 a frame takes 4 ms of one core on average; the one in about
// seventy in which a part comes into view takes 17 ms more, for a part is drawn once and then moved
// (AMD EPYC, 2026-11).
func (s *Scene) Render(n uint64, f *vision.Frame) {
	s.paint(travel(n), mix(s.look.seed, n, 0x901e), f)
}

// paint draws the belt moved by at, with noise from its own seed.
func (s *Scene) paint(at float64, noise random, f *vision.Frame) {
	f.Resize(s.width, s.height)
	level, sigma := s.conditions(at)
	moved := int(math.Round(at * float64(s.height)))
	s.belt.expose(&s.look, level, sigma*float64(s.height)/720)
	s.belt.paint(f, moved, noise)
	reach := float64(s.width)/float64(s.height)/2 + 0.35
	first, last := math.Ceil((at-reach)/pitch), math.Floor((at+reach)/pitch)
	for k := int64(first); k <= int64(last); k++ {
		sp := &s.sprites[((k%3)+3)%3]
		if sp.index != k {
			sl := s.slotAt(k)
			sp.draw(&sl, &s.look)
		}
		s.belt.place(f, sp, s.width/2-moved, s.height/2, noise)
	}
}

// conditions blends exposure and noise of the two slots nearest the middle, so that the light
// wanders.
func (s *Scene) conditions(at float64) (level, sigma float64) {
	k := math.Floor(at / pitch)
	a, b := s.slotAt(int64(k)), s.slotAt(int64(k)+1)
	t := clamp((at/pitch - k - 0.35) / 0.3)
	t *= t * (3 - 2*t)
	return a.level + (b.level-a.level)*t, a.noise + (b.noise-a.noise)*t
}
