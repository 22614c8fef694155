package eval

import (
	"math"
	"slices"

	"github.com/vggse/vggse-agent/vision"
)

// Counts are the answers of a network and those of a reference to the same pictures, counted.
type Counts struct {
	Images, Same                    int // all; those with the same best class
	Labelled                        int // of those with a known class:
	Right, Right5                   int // the network's best, or one of its best five, is it
	ReferenceRight, ReferenceRight5 int
	Lost, Won                       int // only the reference's best is it; only the network's
}

// Add counts one picture: label is the index of its class, -1 where that is not known.
func (c *Counts) Add(label int, reference, own []float32) {
	c.add(label, answerOf(reference, label), answerOf(own, label))
}

func (c *Counts) add(label int, reference, own answer) {
	c.Images++
	c.Same += is(reference.top == own.top)
	if label < 0 {
		return
	}
	right, referenceRight := own.top == label, reference.top == label
	c.Labelled++
	c.Right += is(right)
	c.Right5 += is(own.top5)
	c.ReferenceRight += is(referenceRight)
	c.ReferenceRight5 += is(reference.top5)
	c.Lost += is(referenceRight && !right)
	c.Won += is(right && !referenceRight)
}

// Loss is the share of top-1 that the network loses against the reference, of agreement where no
// class is known, and the half of its 95 % interval: that of a difference of paired shares (normal
// approximation).
func (c *Counts) Loss() (lost, half float64) {
	n, gone, won := float64(c.Images), float64(c.Images-c.Same), 0.0
	if c.Labelled > 0 {
		n, gone, won = float64(c.Labelled), float64(c.Lost), float64(c.Won)
	}
	return (gone - won) / n, 1.96 * math.Sqrt(max(0, gone+won-(gone-won)*(gone-won)/n)) / n
}

// answer is what a row of logits says of a picture: the best class, -1 for none, and whether the
// label is among the best five.
type answer struct {
	top  int
	top5 bool
}

func answerOf(logits []float32, label int) answer {
	top := vision.TopK(nil, logits, 5)
	if len(top) == 0 {
		return answer{top: -1}
	}
	return answer{top[0], slices.Contains(top, label)}
}
