package teach

import (
	"context"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"gonum.org/v1/gonum/floats"

	"github.com/vggse/vggse-agent/vision"
)

// Ways to make a head.
const (
	MethodMeans      = "class means"
	MethodRegression = "logistic regression"            // from nothing
	MethodCorrection = "correction of the layer it had" // logistic regression that stays near to it
	MethodLinear     = "linear discriminants"           // classes with one covariance
)

const (
	fewExamples = 5 // of the smallest class, from which regression is better than means
	mostFolds   = 5
	// of the means' cosines, before a temperature is fitted
	meansSharpness = 10
	// features up to which linear discriminants are tried: each fit inverts their covariance
	mostDiscriminants = 1024
)

// lambdas are the strengths of regularisation that are tried, the strongest first, until weaker
// ones are twice worse than the best.
var lambdas = []float64{1, 1e-1, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5}

// ridges are those of linear discriminants, shares of the mean variance.
var ridges = []float64{1, 0.3, 0.1, 0.03}

// learner fits heads to the examples that count.
type learner struct {
	examples []example
	classes  int
	old      *vision.Head // the layer that the network has, its rows where they belong
	workers  int

	few   bool  // too few examples for regression
	fold  []int // of each example, −1 where it is in none
	folds int
}

// newLearner divides the groups into folds, every class evenly; the same pictures in any order give
// the same folds, as List orders them. old is the layer that the network has, with a row for each
// class that it knows, in their order, before those that it does not.
func newLearner(examples []example, classes, workers int, old *vision.Head) *learner {
	l := &learner{examples: examples, classes: classes, workers: workers, old: old}
	count, groups := make([]int, classes), make([]map[int]bool, classes)
	for c := range groups {
		groups[c] = map[int]bool{}
	}
	for i := range examples {
		if e := &examples[i]; e.err == nil && !e.copy {
			count[e.class]++
			groups[e.class][e.group] = true
		}
	}
	l.few = slices.Min(count) < fewExamples
	l.folds = mostFolds
	for c := range groups {
		l.folds = min(l.folds, max(2, len(groups[c])))
	}
	next, of := make([]int, classes), map[int]int{}
	l.fold = make([]int, len(examples))
	for i := range examples {
		e := &examples[i]
		l.fold[i] = -1
		if e.err != nil {
			continue
		}
		if _, ok := of[e.group]; !ok {
			of[e.group] = next[e.class] % l.folds
			next[e.class]++
		}
		l.fold[i] = of[e.group]
	}
	return l
}

// head is a layer behind a space of features.
type head struct {
	space space
	layer *linear
}

// way is how a head is fitted.
type way struct {
	method string
	lambda float64
}

// fit makes a head of the examples, to the given gradient; start may be nil.
func (l *learner) fit(examples []example, w way, small float64, start *linear) (*head, error) {
	h := &head{space: space{mean: meanOf(examples)}}
	if w.method == MethodCorrection {
		h.space = space{scale: lengthOf(examples)}
	}
	r := rowsOf(examples, &h.space, l.classes)
	if w.method == MethodMeans {
		h.layer = r.means(l.classes)
		h.layer.weight.Scale(meansSharpness, h.layer.weight)
		return h, nil
	}
	if w.method == MethodLinear {
		var err error
		h.layer, err = r.discriminants(l.classes, w.lambda)
		return h, err
	}
	prior := l.prior(w, &h.space)
	if start == nil {
		start = prior
	}
	var err error
	h.layer, err = r.regress(prior.weight, w.lambda, small, start)
	return h, err
}

// prior is what a head is drawn to: the layer that the network has, or zeros.
func (l *learner) prior(w way, s *space) *linear {
	prior := newLinear(l.classes, l.old.Width())
	if w.method != MethodCorrection {
		return prior
	}
	for c := range l.old.Classes() {
		row := prior.weight.RawRowView(c)
		for k := range row {
			row[k] = s.scale * float64(l.old.Weight[c*l.old.Width()+k])
		}
		prior.bias[c] = float64(l.old.Bias[c])
	}
	return prior
}

// answer is the logits of an example as it is.
func (h *head) answer(e *example) []float64 {
	x, out := make([]float64, len(e.views[0])), make([]float64, len(h.layer.bias))
	h.space.row(e.views[0], x)
	h.layer.logits(x, out)
	return out
}

// part are the examples to fit to when fold is held out: of each class the given share of them.
func (l *learner) part(fold int, share float64) []example {
	all, taken := make([]int, l.classes), make([]int, l.classes)
	in := func(i int) bool {
		e := &l.examples[i]
		return e.err == nil && !e.copy && l.fold[i] != fold
	}
	for i := range l.examples {
		if in(i) {
			all[l.examples[i].class]++
		}
	}
	var part []example
	for i := range l.examples {
		if !in(i) {
			continue
		}
		c := l.examples[i].class
		if taken[c] < int(math.Ceil(share*float64(all[c]))) {
			taken[c]++
			part = append(part, l.examples[i])
		}
	}
	return part
}

// heldOut are the answers to each example of heads that have not seen its group: logits, nil for an
// example that could not be read or is a copy. starts has room for the layer of each fold, from
// which the next call goes on; it may be nil.
func (l *learner) heldOut(ctx context.Context, share float64, w way, starts []*linear) ([][]float64, error) {
	all := make([][]float64, len(l.examples))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, l.workers))
	for fold := range l.folds {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var start *linear
			if starts != nil {
				start = starts[fold]
			}
			h, err := l.fit(l.part(fold, share), w, gradientMeasured, start)
			if err != nil {
				return err
			}
			if starts != nil && w.method != MethodLinear {
				starts[fold] = h.layer
			}
			for i := range l.examples {
				if e := &l.examples[i]; l.fold[i] == fold && !e.copy {
					all[i] = h.answer(e)
				}
			}
			return nil
		})
	}
	return all, group.Wait()
}

// chosen is what the examples say about how to fit to them.
type chosen struct {
	way         way
	temperature float64
	logits      [][]float64 // held out, divided by temperature
	likelihood  float64     // mean negative logarithm of the right class's score; the less, the better
	layers      []*linear   // of the folds
}

// choose finds the way by which held-out pictures are answered best, by likelihood, and the
// temperature of their answers.
func (l *learner) choose(ctx context.Context) (*chosen, error) { return l.chooseOf(ctx, l.methods("")) }

// methods are those that fit the examples: only the given one, where it is not "".
func (l *learner) methods(only string) []string {
	switch {
	case only != "":
		return []string{only}
	case l.few:
		return []string{MethodMeans}
	}
	all := []string{MethodRegression}
	if l.old.Mean == nil {
		all = append(all, MethodCorrection)
	}
	if l.old.Width() <= mostDiscriminants {
		all = append(all, MethodLinear)
	}
	return all
}

// chooseOf is choose among some methods.
func (l *learner) chooseOf(ctx context.Context, methods []string) (*chosen, error) {
	var best *chosen
	for _, method := range methods {
		if method == MethodMeans {
			return l.measure(ctx, way{method: MethodMeans}, nil)
		}
		starts, own, worse := make([]*linear, l.folds), math.Inf(1), 0
		strengths := lambdas
		if method == MethodLinear {
			strengths = ridges
		}
		for _, lambda := range strengths {
			c, err := l.measure(ctx, way{method, lambda}, starts)
			if err != nil {
				return nil, err
			}
			if best == nil || c.likelihood < best.likelihood {
				best = c
			}
			if worse++; c.likelihood < own {
				own, worse = c.likelihood, 0
			}
			if worse == 2 {
				break
			}
		}
	}
	return best, nil
}

// measure fits in one way and finds the temperature.
func (l *learner) measure(ctx context.Context, w way, starts []*linear) (*chosen, error) {
	logits, err := l.heldOut(ctx, 1, w, starts)
	if err != nil {
		return nil, err
	}
	class := l.classOf()
	c := &chosen{way: w, logits: logits, temperature: temperature(logits, class), layers: slices.Clone(starts)}
	c.likelihood = likelihood(logits, class, c.temperature)
	for _, row := range c.logits {
		floats.Scale(1/c.temperature, row)
	}
	return c, nil
}

// classOf is the class of each example, −1 where it does not count.
func (l *learner) classOf() []int {
	class := make([]int, len(l.examples))
	for i := range class {
		if e := &l.examples[i]; e.err == nil && !e.copy {
			class[i] = e.class
		} else {
			class[i] = -1
		}
	}
	return class
}
