package teach

import (
	"context"
	"errors"
	"fmt"

	"github.com/vggse/vggse-agent/vision"
)

// Sample is one labelled picture as a head is fitted to it.
type Sample struct {
	Class int
	Views [][]float32 // features of the looks at it, all of one width; the first is the picture as it is
}

// Fitted is a head with what was chosen for it on held-out samples.
type Fitted struct {
	Head        *vision.Head
	Method      string  // MethodMeans, MethodRegression or MethodCorrection
	Lambda      float64 // strength of regularisation, 0 for means
	Temperature float64 // that the logits of Head are divided by already
}

// Learn fits a head of some classes to samples as Run does, each sample being a moment of its own.
// old is the layer that the network has, whose rows are the first classes. method is one of the
// three, "" for the one that answers held-out samples best. workers folds are fitted at the same
// time.
func Learn(ctx context.Context, samples []Sample, classes int, old *vision.Head, method string, workers int) (*Fitted,
	error) {
	examples, count := make([]example, len(samples)), make([]int, classes)
	for i, s := range samples {
		if s.Class < 0 || s.Class >= classes || len(s.Views) == 0 || len(s.Views[0]) != old.Width() {
			return nil, fmt.Errorf("teach: sample %d is none of %d classes with %d features", i, classes, old.Width())
		}
		count[s.Class]++
		examples[i] = example{picture: i, class: s.Class, group: i, views: s.Views}
	}
	for c, n := range count {
		if n == 0 {
			return nil, fmt.Errorf("teach: class %d has no sample", c)
		}
	}
	l := newLearner(examples, classes, workers, old)
	c, err := l.chooseOf(ctx, l.methods(method))
	if err != nil {
		return nil, fmt.Errorf("teach: %w", err)
	}
	h, err := l.fit(examples, c.way, gradientKept, nil)
	if err != nil {
		return nil, fmt.Errorf("teach: %w", err)
	}
	out, err := h.asHead(c.temperature)
	return &Fitted{out, c.way.method, c.way.lambda, c.temperature}, errors.Join(err)
}
