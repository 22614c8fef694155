package prune

import (
	"math"
	"math/rand/v2"

	"github.com/vggse/vggse-agent/vgg16se"
)

// largestNormal is the most inputs of an output that least squares are solved for in full (its
// matrix is that squared, for each shard); beyond, channels are mixed alike in all taps, as before
// the first fully connected layer of the full-size network.
const largestNormal = 1300

// Samples for each unknown number of an output, at least, and at least of a picture, because its
// neighbours tell little new.
const (
	samplesEach    = 24
	samplesLeast   = 20_000
	samplesPicture = 6
)

// sampling says what is a sample of a reader's input: all taps, which are a 3×3 patch or a whole
// picture's, or the channels at a place; and how many there are.
type sampling struct {
	taps     int // numbers of a channel
	each     int // samples of a picture
	pictures int // so many, the first
}

// samplingOf is the one for the reader of g with so many channels, where there are n pictures.
func samplingOf(g *group, width, n int) sampling {
	area, p := g.side*g.side, width*g.taps+1
	if g.dense() {
		area = 1
	}
	if p <= largestNormal && n*area >= 2*p {
		a := samplings(g.taps, p, n, area)
		if g.dense() {
			a.each, a.pictures = 1, n
		}
		return a
	}
	if g.dense() {
		area = g.taps
	}
	return samplings(1, width+1, n, area)
}

func samplings(taps, p, n, area int) sampling {
	total := max(samplesLeast, samplesEach*p)
	pictures := min(n, max(1, total/samplesPicture))
	return sampling{taps, min(area, (total+pictures-1)/pictures), pictures}
}

// inputs copies the samples of a picture, whose reader reads v, into rows; each is followed by a 1.
func (a sampling) inputs(to []float32, row int, g *group, v []float32, channels, picture int) {
	side := int(math.Round(math.Sqrt(float64(len(v) / channels))))
	switch {
	case a.taps != g.taps:
		columns(to, v, side*side, places(side, a.each, picture), row)
	case g.dense():
		copy(to, v)
	default:
		patches(to, v, side, places(side, a.each, picture), row)
	}
	for r := range a.each {
		to[r*row+a.taps*channels] = 1
	}
}

// outputs copies what the reader puts out where the samples are.
func (a sampling) outputs(v []float32, channels, picture int) []float32 {
	side := int(math.Round(math.Sqrt(float64(len(v) / channels))))
	to := make([]float32, a.each*channels)
	columns(to, v, side*side, places(side, a.each, picture), channels)
	return to
}

// gateSamples copies what a gate looks at: the means of all channels, which is all that SE sees, or
// the channels where the reader's samples are.
func (a sampling) gateSamples(g *group, v []float32, channels, picture int) []float32 {
	if g.gate.Op != vgg16se.OpSE {
		return a.outputs(v, channels, picture)
	}
	area := len(v) / channels
	to := make([]float32, channels)
	for c := range to {
		sum := 0.0
		for _, x := range v[c*area:][:area] {
			sum += float64(x)
		}
		to[c] = float32(sum / float64(area))
	}
	return to
}

// places draws n of side² places of a map for a picture, or all; the same for the same picture.
func places(side, n, picture int) []int {
	all := rand.New(rand.NewPCG(uint64(picture), 1)).Perm(side * side)
	return all[:min(n, len(all))]
}

// columns copies the channels at places of a map, c × area, into rows of width numbers; a row may
// be longer than c.
func columns(to []float32, v []float32, area int, places []int, width int) {
	c := len(v) / area
	for i, p := range places {
		row := to[i*width:]
		for ch := range c {
			row[ch] = v[ch*area+p]
		}
	}
}

// patches copies the 3×3 neighbourhoods of places, in the order of a kernel, zeros around the map,
// into rows of width.
func patches(to []float32, v []float32, side int, places []int, width int) {
	area := side * side
	c := len(v) / area
	for i, p := range places {
		row, y, x := to[i*width:], p/side, p%side
		for t := range 9 {
			r, q := y+t/3-1, x+t%3-1
			inside := r >= 0 && r < side && q >= 0 && q < side
			for ch := range c {
				value := float32(0)
				if inside {
					value = v[ch*area+r*side+q]
				}
				row[ch*9+t] = value
			}
		}
	}
}
