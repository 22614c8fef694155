package quant

import (
	"math"
	"slices"
)

// lanes are how many sums are taken side by side: a fixed number, so that the sum is the same on
// every machine.
const (
	lanes = 16
	block = 512 // values whose sums are taken in float32
)

// tally counts values that are not negative, of one range. Half of them are zeros in no order that
// a processor could foresee, so they get cells of their own behind the others instead of a branch:
// several, as an addition to a cell waits for the last one to it.
type bins [Bins + lanes]uint32

// moments are what is known of a channel at a glance. C writes them: see bincount.c.
type moments struct {
	sum       float64
	low, high uint32 // the least and the largest bits, as integers: of the values, where none is negative or no number
}

func (m *moments) least() float32 { return math.Float32frombits(m.low) }
func (m *moments) most() float32  { return math.Float32frombits(m.high) }

// counted is count in Go.
func counted(cells *bins, values []float32, scale float32, limit uint32, m []moments) {
	area := len(values) / len(m)
	for k := range m {
		v := values[k*area:][:area]
		if m[k] = measured(v); cells != nil && m[k].high < limit {
			scattered(cells, v, scale)
		}
	}
}

func measured(v []float32) moments {
	m := moments{low: math.MaxUint32}
	for part := range slices.Chunk(v, block) {
		var s [lanes]float32
		for i, x := range part {
			bits := math.Float32bits(x)
			m.low, m.high = min(m.low, bits), max(m.high, bits)
			s[i%lanes] += x
		}
		for _, x := range s {
			m.sum += float64(x)
		}
	}
	return m
}

func scattered(cells *bins, v []float32, scale float32) {
	for i, x := range v {
		if cell := uint32(x * scale); x == 0 {
			cells[Bins+i%lanes]++
		} else {
			cells[cell]++
		}
	}
}
