package vision

import "math"

// Signals are what a network tells of one picture besides its logits. What it does not tell is
// empty.
type Signals struct {
	Features []float32   // what the last layer reads, behind its activation
	Squeeze  [][]float32 // of each attention block, the mean of every channel
	Gates    [][]float32 // of each attention block, what every channel is multiplied by, 0..1
}

// SignalSizes are the lengths of a network's Signals.
type SignalSizes struct {
	Features int   // 0: it gives none
	Channels []int // of each attention block, in the order of the network; empty: it gives none
}

// New makes Signals of these lengths, in one piece of memory; nil where the network tells nothing.
func (z SignalSizes) New() *Signals {
	n := z.Features
	for _, c := range z.Channels {
		n += 2 * c
	}
	if n == 0 {
		return nil
	}
	values := make([]float32, n)
	take := func(n int) []float32 {
		part := values[:n:n]
		values = values[n:]
		return part
	}
	s := &Signals{Features: take(z.Features)}
	for _, c := range z.Channels {
		s.Squeeze, s.Gates = append(s.Squeeze, take(c)), append(s.Gates, take(c))
	}
	return s
}

// leastLevel is added to a channel's mean before its logarithm is taken: below it a channel is silent.
const leastLevel = 1e-3

// Levels writes the logarithms of the channels' means of all blocks, one block behind the other, into out,
// which has room for all. It allocates nothing.
func (s *Signals) Levels(out []float32) {
	for _, row := range s.Squeeze {
		for i, v := range row {
			out[i] = float32(math.Log(max(0, float64(v)) + leastLevel))
		}
		out = out[len(row):]
	}
}

// Levels is the number of channels of all blocks.
func (z SignalSizes) Levels() int {
	n := 0
	for _, c := range z.Channels {
		n += c
	}
	return n
}

// CopyFrom overwrites s with a deep copy of o, reusing the memory of s: no allocation where both
// have the same lengths.
func (s *Signals) CopyFrom(o *Signals) {
	s.Features = append(s.Features[:0], o.Features...)
	s.Squeeze, s.Gates = copyRows(s.Squeeze, o.Squeeze), copyRows(s.Gates, o.Gates)
}

func copyRows(to, from [][]float32) [][]float32 {
	for len(to) < len(from) {
		to = append(to, nil)
	}
	to = to[:len(from)]
	for i, row := range from {
		to[i] = append(to[i][:0], row...)
	}
	return to
}
