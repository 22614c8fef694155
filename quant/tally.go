package quant

import "math"

// lanes are how many sums are taken side by side: a fixed number, so that the sum is the same on every machine.
const lanes = 8

// tally counts values that are not negative, of one range. Half of them are zeros in no order that a processor could
// foresee, so they get cells of their own behind the others instead of a branch: several, as an addition to a cell
// waits for the last one to it.
type tally [Bins + lanes]uint32

// moments are what is known of a channel at a glance. C writes them: see tally.c.
type moments struct {
	sum       float64
	low, high uint32 // the least and the largest bits, as integers: of the values, where none is negative or no number
}

func (m *moments) least() float32 { return math.Float32frombits(m.low) }
func (m *moments) most() float32  { return math.Float32frombits(m.high) }

// measured is measure for one channel, in Go.
func measured(v []float32) moments {
	m := moments{low: math.MaxUint32}
	var s [lanes]float64
	for i, x := range v {
		bits := math.Float32bits(x)
		m.low, m.high = min(m.low, bits), max(m.high, bits)
		s[i%lanes] += float64(x)
	}
	m.sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
	return m
}

// scattered is scatter in Go.
func scattered(cells *tally, v []float32, scale float32) {
	for i, x := range v {
		if cell := uint32(x * scale); x == 0 {
			cells[Bins+i%lanes]++
		} else {
			cells[cell]++
		}
	}
}
