package teach

import (
	"context"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/vision"
)

// Ways to make a head.
const (
	MethodMeans      = "class means"
	MethodRegression = "logistic regression"            // from nothing
	MethodCorrection = "correction of the layer it had" // logistic regression that stays near to it
	MethodAddition   = "addition to the layer it had"   // logistic regression of the new labels alone
	MethodLinear     = "linear discriminants"           // classes with one covariance
	MethodBoth       = "logistic regression and linear discriminants"
)

const (
	fewExamples = 5 // of the smallest class, from which regression is better than means
	mostFolds   = 5
	// of the means' cosines, before a temperature is fitted
	meansSharpness = 10
	// labels up to which all are fitted; beyond, the layer that the network has stays, where it can
	mostFitted = 256
)

// lambdas are the strengths of regularisation that are tried, the strongest first, until weaker
// ones are twice worse than the best.
var lambdas = []float64{1, 1e-1, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5}

// ridges are those of linear discriminants, shares of the mean variance.
var ridges = []float64{1, 0.3, 0.1, 0.03}

// learner fits heads to the examples that count.
type learner struct {
	examples []example // in span
	classes  int
	workers  int
	mayLose  []float64 // as in Options: one head is chosen for each
	span     *span
	head     *vision.Head // the layer that the network has: its rows come first
	old      *linear      // the same in span, with a row of zeros for each new label
	oldMean  []float64    // its Mean, in span

	few   bool  // too few examples for regression
	fold  []int // of each example, −1 where it is in none
	folds int
}

// newLearner divides the groups into folds, every class evenly; the same pictures in any order give
// the same folds, as List orders them. old is the layer that the network has, with a row for each
// class that it knows, in their order, before those that it does not.
func newLearner(examples []example, classes, workers int, old *vision.Head) *learner {
	l := &learner{classes: classes, workers: workers, head: old}
	l.narrow(examples)
	examples = l.examples
	count, groups := make([]int, classes), make([]map[int]bool, classes)
	for c := range groups {
		groups[c] = map[int]bool{}
	}
	for i := range examples {
		if e := &examples[i]; e.counts() {
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
		switch {
		case e.err != nil:
			continue
		case e.witness:
			continue // below
		}
		if _, ok := of[e.group]; !ok {
			of[e.group] = next[e.class] % l.folds
			next[e.class]++
		}
		l.fold[i] = of[e.group]
	}
	for i := range examples {
		if examples[i].witness {
			l.fold[i] = l.foldOf(i)
		}
	}
	return l
}

// foldOf is the fold of a stored picture: that of a picture that shows the same, which it may be itself.
func (l *learner) foldOf(i int) int {
	e := &l.examples[i]
	for j := range l.examples {
		if o := &l.examples[j]; o.counts() && o.class == e.class && cosine(e.views[0], o.views[0]) > sameCosine {
			return l.fold[j]
		}
	}
	return i % l.folds
}

// narrow puts the examples and the layer that the network has into the space of the pictures, and asks
// that layer about them.
func (l *learner) narrow(examples []example) {
	var also [][]float32
	if l.head.Mean != nil {
		also = append(also, l.head.Mean)
	}
	known := l.head.Classes()
	l.span = newSpan(examples, l.classes, func(class int) bool { return class >= known }, also...)
	l.old = l.span.narrowLayer(l.head, l.classes)
	if l.head.Mean != nil {
		l.oldMean = make([]float64, l.span.dims())
		copyRow(l.oldMean, l.span.narrow(l.head.Mean))
	}
	l.examples = make([]example, len(examples))
	var group errgroup.Group
	group.SetLimit(max(1, l.workers))
	for i := range examples {
		group.Go(func() error {
			l.examples[i] = l.narrowed(&examples[i])
			return nil
		})
	}
	_ = group.Wait() // none fails
}

// narrowed is an example in the space of the pictures.
func (l *learner) narrowed(e *example) example {
	out := *e
	if e.err != nil {
		return out
	}
	out.views, out.rest, out.stored = nil, nil, nil
	for v := range max(1, len(e.views)) {
		x := l.span.narrow(e.view(v))
		logits := l.answer(x)
		r := rest{sum: floats.LogSumExp(logits)}
		if e.class < len(logits) {
			r.own = logits[e.class]
			out.known = out.known || v == 0 && r.own == slices.Max(logits)
		}
		out.views, out.rest = append(out.views, x), append(out.rest, r)
	}
	return out
}

// answer is the logits of the layer that the network has, for features in the space of the pictures.
func (l *learner) answer(x []float32) []float64 {
	s := space{mean: l.oldMean, scale: 1}
	row, out := make([]float64, l.span.dims()), make([]float64, l.head.Classes())
	s.row(x, row)
	for c := range out {
		out[c] = floats.Dot(l.old.weight.RawRowView(c), row) + l.old.bias[c]
	}
	return out
}

// head is a layer behind a space of features.
type head struct {
	space space
	layer *linear
	from  *linear // the layer that the network has, in the same space, that this one stays near to; or nil
}

// way is how a head is fitted.
type way struct {
	method string
	lambda float64
	of     []blended // of MethodBoth
}

// blended is one of several ways whose mean is a head.
type blended struct {
	way         way
	temperature float64
}

// fit makes a head of the examples, to the given gradient; start may be nil.
func (l *learner) fit(examples []example, w way, small float64, start *linear) (*head, error) {
	dims := l.span.dims()
	h := &head{space: space{mean: meanOf(examples, dims)}}
	if len(w.of) > 0 {
		return h, l.fitBoth(h, examples, w, small)
	}
	prior := newLinear(l.classes, dims)
	if w.method == MethodCorrection || w.method == MethodAddition {
		h.space, h.from = l.own(examples)
		prior = h.from
	}
	if start == nil {
		start = prior
	}
	r := rowsOf(examples, &h.space, l.classes, dims)
	if w.method != MethodAddition {
		r.rest = nil
	}
	var err error
	switch w.method {
	case MethodMeans:
		h.layer = r.means(l.classes)
		h.layer.weight.Scale(meansSharpness, h.layer.weight)
	case MethodLinear:
		h.layer, err = r.discriminants(l.classes, w.lambda)
	case MethodAddition:
		h.layer, err = l.add(h.from, r, w.lambda, small, start)
	default:
		h.layer, err = r.regress(prior.weight, w.lambda, small, start)
	}
	return h, err
}

// fitBoth makes h the mean of heads in one space.
func (l *learner) fitBoth(h *head, examples []example, w way, small float64) error {
	h.layer = newLinear(l.classes, l.span.dims())
	for _, b := range w.of {
		one, err := l.fit(examples, b.way, small, nil)
		if err != nil {
			return err
		}
		share := 1 / (b.temperature * float64(len(w.of)))
		floats.AddScaled(h.layer.weight.RawMatrix().Data, share, one.layer.weight.RawMatrix().Data)
		floats.AddScaled(h.layer.bias, share, one.layer.bias)
	}
	return nil
}

// own is the space that the layer that the network has works in, up to its scale, and the layer there.
func (l *learner) own(examples []example) (space, *linear) {
	if l.oldMean != nil {
		return space{mean: l.oldMean}, l.old
	}
	s := space{scale: lengthOf(examples)}
	scaled := newLinear(l.classes, l.span.dims())
	scaled.weight.Scale(s.scale, l.old.weight)
	copy(scaled.bias, l.old.bias)
	return s, scaled
}

// add fits the rows of the labels that the network does not have, and leaves the others.
func (l *learner) add(from *linear, r *rows, lambda, small float64, start *linear) (*linear, error) {
	known, dims := l.head.Classes(), l.span.dims()
	fresh := l.classes - known
	for i := range r.class {
		r.class[i] = max(-1, r.class[i]-known)
	}
	part := newLinear(fresh, dims)
	part.weight.Copy(start.weight.Slice(known, l.classes, 0, dims))
	copy(part.bias, start.bias[known:])
	// The new labels have so much of the weight, whatever there are of old ones.
	share := float64(fresh) / float64(l.classes)
	part, err := r.regress(mat.NewDense(fresh, dims, nil), lambda*share, small, part)
	if err != nil {
		return nil, err
	}
	all := newLinear(l.classes, dims)
	all.weight.Copy(from.weight)
	copy(all.bias, from.bias)
	all.weight.Slice(known, l.classes, 0, dims).(*mat.Dense).Copy(part.weight)
	copy(all.bias[known:], part.bias)
	return all, nil
}

// answer is the logits of an example as it is.
func (h *head) answer(e *example) vision.Logits {
	_, dims := h.layer.weight.Dims()
	x, out := make([]float64, dims), make(vision.Logits, len(h.layer.bias))
	h.space.row(e.views[0], x)
	h.layer.logits(x, out)
	return out
}

// part are the examples to fit to when fold is held out: of each class the given share of them.
func (l *learner) part(fold int, share float64) []example {
	all, taken := make([]int, l.classes), make([]int, l.classes)
	in := func(i int) bool {
		e := &l.examples[i]
		return e.fits() && l.fold[i] != fold
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
func (l *learner) heldOut(ctx context.Context, share float64, w way, starts []*linear) ([]vision.Logits,
	error) {
	all := make([]vision.Logits, len(l.examples))
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
			if starts != nil && w.method != MethodLinear && w.method != MethodBoth {
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
	caution     float64         // that is taken from the logits of new labels
	within      bool            // no more of the old labels is lost than may be
	temperature float64         // that logits are divided by after that
	logits      []vision.Logits // held out, settled
	raw         []vision.Logits // as they were fitted; nil where they are too many to keep
	// mean negative logarithm of the right class's score, without caution; the less, the better
	likelihood float64
	layers     []*linear // of the folds
}

// methods are those that fit the examples: only the given one, where it is not "".
func (l *learner) methods(only string) []string {
	fresh := l.classes > l.head.Classes()
	switch {
	case only != "":
		return []string{only}
	case l.few && fresh:
		return []string{MethodMeans, MethodAddition}
	case l.few:
		return []string{MethodMeans}
	case l.classes > mostFitted && fresh:
		return []string{MethodAddition}
	case l.classes > mostFitted:
		return []string{MethodLinear}
	}
	all := []string{MethodRegression, MethodCorrection, MethodLinear}
	if fresh {
		all = append(all, MethodAddition)
	}
	return all
}

// choose finds among some methods the way by which held-out pictures are answered best, by likelihood,
// and the temperature of their answers, once for each of mayLose. Where regression and discriminants are
// both among them, their mean stands for the two: of few pictures, which of them is ahead is chance.
func (l *learner) choose(ctx context.Context, methods []string) ([]*chosen, error) {
	best, of := make([]*chosen, len(l.mayLose)), map[string][]*chosen{}
	for _, method := range methods {
		own, err := l.strength(ctx, method)
		if err != nil {
			return nil, err
		}
		of[method] = own
	}
	if a, b := of[MethodRegression], of[MethodLinear]; a != nil && b != nil {
		delete(of, MethodLinear)
		for i, mayLose := range l.mayLose {
			a[i] = l.blend(a[i], b[i], mayLose)
		}
	}
	for _, method := range methods { // in their order
		for i, c := range of[method] {
			if c.betterThan(best[i]) {
				best[i] = c
			}
		}
	}
	return best, nil
}

// betterThan tells whether c is to be chosen before o, which may be nil.
func (c *chosen) betterThan(o *chosen) bool {
	if o == nil || c.within != o.within {
		return o == nil || c.within
	}
	return c.likelihood < o.likelihood
}

// strength finds the regularisation of a method, for each of mayLose.
func (l *learner) strength(ctx context.Context, method string) ([]*chosen, error) {
	strengths := lambdas
	switch method {
	case MethodMeans:
		return l.measure(ctx, way{method: MethodMeans}, nil)
	case MethodLinear:
		strengths = ridges
	}
	best, starts, own, worse := make([]*chosen, len(l.mayLose)), make([]*linear, l.folds), math.Inf(1), 0
	for _, lambda := range strengths {
		all, err := l.measure(ctx, way{method: method, lambda: lambda}, starts)
		if err != nil {
			return nil, err
		}
		least := math.Inf(1)
		for i, c := range all {
			least = min(least, c.likelihood)
			if c.betterThan(best[i]) {
				best[i] = c
			}
		}
		if worse++; least < own {
			own, worse = least, 0
		}
		if worse == 2 {
			break
		}
	}
	return best, nil
}

// blend is the mean of two ways in one space, each by its temperature.
func (l *learner) blend(a, b *chosen, mayLose float64) *chosen {
	class := l.classOf(false)
	both := way{method: MethodBoth, lambda: a.way.lambda, of: []blended{
		{a.way, temperature(a.raw, class)}, {b.way, temperature(b.raw, class)}}}
	logits := make([]vision.Logits, len(a.raw))
	for i, row := range a.raw {
		for k := range row {
			logits[i] = append(logits[i], row[k]/float32(2*both.of[0].temperature)+
				b.raw[i][k]/float32(2*both.of[1].temperature))
		}
	}
	return l.settled(both, logits, mayLose)
}

// measure fits in one way, for each of mayLose.
func (l *learner) measure(ctx context.Context, w way, starts []*linear) ([]*chosen, error) {
	logits, err := l.heldOut(ctx, 1, w, starts)
	if err != nil {
		return nil, err
	}
	var all []*chosen
	for _, mayLose := range l.mayLose {
		c := l.settled(w, cloned(logits), mayLose)
		c.layers = slices.Clone(starts)
		if l.classes <= mostFitted {
			c.raw = logits
		}
		all = append(all, c)
	}
	return all, nil
}

// settled finds caution and temperature for held-out logits, which are changed.
func (l *learner) settled(w way, logits []vision.Logits, mayLose float64) *chosen {
	class, known := l.classOf(false), l.head.Classes()
	c := &chosen{way: w, temperature: 1, logits: logits}
	c.likelihood = likelihood(logits, class, temperature(logits, class))
	c.caution, c.within = caution(logits, l.classOf(true), l.before(), known, mayLose)
	c.settle(logits, known)
	c.temperature = temperature(logits, l.classOf(true))
	(&chosen{temperature: c.temperature}).settle(logits, known)
	return c
}

func cloned(logits []vision.Logits) []vision.Logits {
	out := make([]vision.Logits, len(logits))
	for i, row := range logits {
		out[i] = slices.Clone(row)
	}
	return out
}

// settle gives held-out logits the caution and the temperature; labels from known on are new.
func (c *chosen) settle(logits []vision.Logits, known int) {
	for _, row := range logits {
		for k := range row {
			if k >= known {
				row[k] -= float32(c.caution)
			}
			row[k] /= float32(c.temperature)
		}
	}
}

// before tells of each example whether the layer that the network has answers rightly.
func (l *learner) before() []bool {
	known := make([]bool, len(l.examples))
	for i := range known {
		known[i] = l.examples[i].known
	}
	return known
}

// classOf is the class of each example, −1 where it does not count; witnesses do where that is asked.
func (l *learner) classOf(witnesses bool) []int {
	class := make([]int, len(l.examples))
	for i := range class {
		if e := &l.examples[i]; e.counts() || e.witness && witnesses {
			class[i] = e.class
		} else {
			class[i] = -1
		}
	}
	return class
}
