package teach

import (
	"context"
	"fmt"

	"github.com/vggse/vggse-agent/vision"
)

// Sample is one labelled picture as a head is fitted to it.
type Sample struct {
	Class   int
	Views   [][]float32 // features of the looks at it, all of one width; the first is the picture as it is
	Witness bool        // nothing is fitted to it: its answers say what is lost of its class
}

// Fitted is a head with what was chosen for it on held-out samples.
type Fitted struct {
	Head        *vision.Head
	Method      string  // one of those of this package
	Lambda      float64 // strength of regularisation, 0 for means
	Caution     float64 // that was taken from the logits of new classes, before Temperature
	Temperature float64 // that the logits of Head are divided by already
}

// Choice is what Learn is to do.
type Choice struct {
	Method  string    // one of those of this package; "": the one that answers held-out samples best
	MayLose []float64 // as in Options: a head is made for each
	Workers int       // folds that are fitted at the same time
}

// Learn fits heads of some classes to samples as Run does, each sample being a moment of its own.
// old is the layer that the network has, whose rows are the first classes.
func Learn(ctx context.Context, samples []Sample, classes int, old *vision.Head, o Choice) ([]*Fitted, error) {
	examples, count := make([]example, len(samples)), make([]int, classes)
	for i, s := range samples {
		if s.Class < 0 || s.Class >= classes || len(s.Views) == 0 || len(s.Views[0]) != old.Width() {
			return nil, fmt.Errorf("teach: sample %d is none of %d classes with %d features", i, classes, old.Width())
		}
		if !s.Witness {
			count[s.Class]++
		}
		examples[i] = example{picture: i, class: s.Class, group: i, views: s.Views, witness: s.Witness}
	}
	for c, n := range count {
		if n == 0 {
			return nil, fmt.Errorf("teach: class %d has no sample", c)
		}
	}
	defer frugal()()
	l := newLearner(examples, classes, o.Workers, old)
	l.mayLose = o.MayLose
	all, err := l.choose(ctx, l.methods(o.Method))
	if err != nil {
		return nil, fmt.Errorf("teach: %w", err)
	}
	var fitted []*Fitted
	for _, c := range all {
		h, err := l.fit(l.examples, c.way, gradientKept, nil)
		if err != nil {
			return nil, fmt.Errorf("teach: %w", err)
		}
		out, err := l.asHead(h, c)
		if err != nil {
			return nil, fmt.Errorf("teach: %w", err)
		}
		fitted = append(fitted, &Fitted{out, c.way.method, c.way.lambda, c.caution, c.temperature})
	}
	return fitted, nil
}
