package demo

import "math"

// random is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014):
// small enough to be drawn afresh for every slot and frame, which is what makes frames independent
// of order.
type random uint64

// mix folds words into one seed.
func mix(words ...uint64) random {
	var r random
	for _, w := range words {
		r = random(r.next() ^ w)
	}
	return random(r.next())
}

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// unit is uniform in [0, 1).
func (r *random) unit() float64 { return float64(r.next()>>11) / (1 << 53) }

// between is uniform in [low, high).
func (r *random) between(low, high float64) float64 { return low + (high-low)*r.unit() }

// below is uniform in 0..n-1.
func (r *random) below(n int) int { return int(r.next() % uint64(n)) }

// normal is Gaussian with mean 0 and variance 1 (Box and Muller).
func (r *random) normal() float64 {
	return math.Sqrt(-2*math.Log(1-r.unit())) * math.Cos(2*math.Pi*r.unit())
}
