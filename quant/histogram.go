package quant

import (
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
)

// Bins is the number of cells of a Histogram.
const Bins = 4096

// lowest is the binary exponent of the smallest range a Histogram has: 2^lowest.
const lowest = -16

// Histogram counts magnitudes |x| in Bins cells of equal width over [0, 2^Exp). A larger value
// doubles the range: neighbours are added in pairs, which is exact, as cell i of the old range lies
// wholly in cell i/2 of the new one. So the result depends only on the values, not on their order
// nor on how they were spread over histograms that are then added. Zeros stand apart: after a ReLU
// they are half of all.
type Histogram struct {
	Exp      int // the range is [0, 2^Exp)
	Counts   [Bins]uint64
	Zeros    uint64
	Invalid  uint64  // NaN and infinities, counted nowhere else
	Negative uint64  // values below 0, also in Counts
	Min, Max float32 // of the valid values; +Inf and -Inf where there are none
}

// NewHistogram returns an empty histogram.
func NewHistogram() *Histogram {
	return &Histogram{Exp: lowest, Min: float32(math.Inf(1)), Max: float32(math.Inf(-1))}
}

// Add counts values.
func (h *Histogram) Add(values []float32) {
	var m [1]moments
	var cells bins
	h.add(&cells, values, m[:])
	h.take(&cells)
}

// add counts the values of a map, channel by channel, as many as m has, and writes their moments to
// m. Many values are only in cells until take.
func (h *Histogram) add(cells *bins, values []float32, m []moments) {
	limit, area := h.limit(), len(values)/len(m)
	count(cells, values, h.scale(), limit, m)
	for k := range m {
		if m[k].high < limit {
			h.Min, h.Max = min(h.Min, m[k].least()), max(h.Max, m[k].most())
			continue
		}
		channel := values[k*area:][:area]
		if m[k].high < infinity {
			h.take(cells)
			h.reach(m[k].most())
			h.add(cells, channel, m[k:k+1])
			continue
		}
		for _, v := range channel { // some are negative or no numbers
			h.count(cells, v)
		}
	}
}

const infinity = 0x7f800000 // as bits

// count takes in a value of any kind.
func (h *Histogram) count(cells *bins, v float32) {
	m := math.Float32frombits(math.Float32bits(v) &^ (1 << 31))
	if !(m*h.scale() < Bins) {
		h.take(cells)
		if !h.reach(m) {
			return
		}
	}
	if m == 0 {
		cells[Bins]++
	} else {
		cells[uint32(m*h.scale())]++
	}
	h.Min, h.Max = min(h.Min, v), max(h.Max, v)
	if v < 0 {
		h.Negative++
	}
}

// take adds a tally of the range in force to h and empties it.
func (h *Histogram) take(cells *bins) {
	for i, n := range cells[:Bins] {
		h.Counts[i] += uint64(n)
	}
	for _, n := range cells[Bins:] {
		h.Zeros += uint64(n)
	}
	clear(cells[:])
}

// limit is the end of the range as the bits of a float32. Those of a negative number or of none are
// larger as an integer.
func (h *Histogram) limit() uint32 { return math.Float32bits(float32(math.Ldexp(1, h.Exp))) }

// scale turns a magnitude into a cell. It is a power of two, so the product is exact.
func (h *Histogram) scale() float32 { return float32(math.Ldexp(Bins, -h.Exp)) }

// reach widens the range to hold the magnitude m, or counts m as invalid.
func (h *Histogram) reach(m float32) bool {
	if m != m || math.IsInf(float64(m), 0) {
		h.Invalid++
		return false
	}
	_, exp := math.Frexp(float64(m)) // m in [2^(exp−1), 2^exp)
	h.widen(exp)
	return true
}

// widen doubles the range until it is 2^exp.
func (h *Histogram) widen(exp int) {
	for ; h.Exp < exp; h.Exp++ {
		for i := range Bins / 2 {
			h.Counts[i] = h.Counts[2*i] + h.Counts[2*i+1]
		}
		clear(h.Counts[Bins/2:])
	}
}

// Merge adds what o counted to h; o stays as it is.
func (h *Histogram) Merge(o *Histogram) {
	h.widen(o.Exp)
	shift := h.Exp - o.Exp
	for i, c := range o.Counts {
		h.Counts[i>>shift] += c
	}
	h.Zeros += o.Zeros
	h.Invalid += o.Invalid
	h.Negative += o.Negative
	h.Min, h.Max = min(h.Min, o.Min), max(h.Max, o.Max)
}

// Width is the width of one cell.
func (h *Histogram) Width() float64 { return math.Ldexp(1, h.Exp) / Bins }

// Amax is the largest magnitude, 0 where nothing was counted.
func (h *Histogram) Amax() float64 {
	return max(0, -float64(h.Min), float64(h.Max))
}

// Count is the number of valid values, zeros included.
func (h *Histogram) Count() uint64 {
	n := h.Zeros
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// cells is the number of cells up to the last that is not empty.
func (h *Histogram) cells() int {
	for i := Bins; i > 0; i-- {
		if h.Counts[i-1] != 0 {
			return i
		}
	}
	return 0
}

// Power is the mean square of the values, with uniform density inside each cell.
func (h *Histogram) Power() float64 {
	sum, n, w := 0.0, float64(h.Zeros), h.Width()
	for i, c := range h.Counts {
		a := float64(i)
		sum += float64(c) * w * w * (a*a + a + 1.0/3)
		n += float64(c)
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// histogramJSON is what a histogram looks like in a file: [cell, count] pairs of the cells in use.
type histogramJSON struct {
	Exp      int         `json:"exp"`
	Min      float32     `json:"min"`
	Max      float32     `json:"max"`
	Zeros    uint64      `json:"zeros"`
	Invalid  uint64      `json:"invalid"`
	Negative uint64      `json:"negative"`
	Cells    [][2]uint64 `json:"cells"`
}

// MarshalJSON writes the cells in use.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	j := histogramJSON{h.Exp, h.Min, h.Max, h.Zeros, h.Invalid, h.Negative, [][2]uint64{}}
	if j.Min > j.Max { // empty: JSON knows no infinity
		j.Min, j.Max = 0, 0
	}
	for i, c := range h.Counts {
		if c != 0 {
			j.Cells = append(j.Cells, [2]uint64{uint64(i), c})
		}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses what no collection can have counted.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var j histogramJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	if j.Exp < lowest || j.Exp > 128 || j.Min > j.Max {
		return fmt.Errorf("a histogram of range 2^%d from %g to %g cannot be", j.Exp, j.Min, j.Max)
	}
	*h = *NewHistogram()
	h.Exp, h.Zeros, h.Invalid, h.Negative = j.Exp, j.Zeros, j.Invalid, j.Negative
	total := j.Zeros
	for _, c := range j.Cells {
		var carry uint64
		if total, carry = bits.Add64(total, c[1], 0); c[0] >= Bins || carry != 0 {
			return fmt.Errorf("a histogram with %d values in cell %d cannot be", c[1], c[0])
		}
		h.Counts[c[0]] += c[1]
	}
	if total > 0 {
		h.Min, h.Max = j.Min, j.Max
	}
	return nil
}
