package teach

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/vision"
)

// wide are pictures of 4 classes, of which a network of 3 knows the first ones, with more features than
// there are directions, and that network's layer, normalised or not.
func wide(t *testing.T, normalised bool) ([]example, *vision.Head) {
	t.Helper()
	const width = mostDirections + 100
	rng := rand.New(rand.NewPCG(1, 2))
	row := func(shift int) []float32 {
		x := make([]float32, width)
		for k := range x {
			x[k] = float32(max(0, rng.NormFloat64()+2*math.Cos(float64(k*(shift+1)))))
		}
		return x
	}
	var examples []example
	for i := range 32 {
		examples = append(examples, example{picture: i, class: i % 4, group: i, views: [][]float32{row(i % 4)}})
	}
	var weight, mean []float32
	for c := range 3 {
		for _, v := range row(c) {
			weight = append(weight, (v-1)/40)
		}
	}
	if normalised {
		mean = row(9)
	}
	old, err := vision.NewHead(mean, weight, []float32{0.1, 0.2, -0.3})
	if err != nil {
		t.Fatal(err)
	}
	return examples, old
}

// A layer that is fitted in the space of its pictures is the one that is fitted to all features.
func TestSpanIsExact(t *testing.T) {
	for _, normalised := range []bool{false, true} {
		examples, old := wide(t, normalised)
		narrow := newLearner(examples, 4, 1, old)
		full := newLearner(examples, 4, 1, old)
		full.span, full.examples = &span{width: old.Width()}, slices.Clone(examples)
		full.old, full.oldMean = full.span.narrowLayer(old, 4), nil
		if normalised {
			full.oldMean = make([]float64, old.Width())
			copyRow(full.oldMean, old.Mean)
		}
		for i := range full.examples {
			full.examples[i] = full.narrowed(&examples[i])
		}
		if n := narrow.span.dims(); n > 33 || n < 32 {
			t.Errorf("%d directions of 32 pictures", n)
		}
		for _, method := range []string{MethodRegression, MethodCorrection, MethodAddition, MethodMeans} {
			by := &chosen{way: way{method: method, lambda: 1e-3}, temperature: 2, caution: 0.5}
			a, b := headOf(t, narrow, by), headOf(t, full, by)
			x, y := make(vision.Logits, 4), make(vision.Logits, 4)
			for i := range examples {
				a.Apply(examples[i].views[0], x)
				b.Apply(examples[i].views[0], y)
				for c := range x {
					if math.Abs(float64(x[c]-y[c])) > 2e-3 {
						t.Fatalf("%s, normalised %v, picture %d: %v, of all features %v", method, normalised, i, x, y)
					}
				}
			}
		}
	}
}

func headOf(t *testing.T, l *learner, by *chosen) *vision.Head {
	t.Helper()
	h, err := l.fit(l.examples, by.way, gradientKept, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.asHead(h, by)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Added labels leave the answers among the others as they were, and are where the loss is least.
func TestAddition(t *testing.T) {
	examples, old := wide(t, false)
	l := newLearner(examples, 4, 1, old)
	w := way{method: MethodAddition, lambda: 1e-2}
	h, err := l.fit(l.examples, w, gradientKept, nil)
	if err != nil {
		t.Fatal(err)
	}
	taught := headOf(t, l, &chosen{way: w, temperature: 1})
	if !slices.Equal(taught.Weight[:3*taught.Width()], old.Weight) || !slices.Equal(taught.Bias[:3], old.Bias) {
		t.Error("the rows of old labels moved")
	}
	r := rowsOf(l.examples, &h.space, 4, l.span.dims())
	loss := func(layer *linear) float64 {
		sum, logits := 0.0, make([]float64, 4)
		for i, c := range r.class {
			for k := range logits {
				logits[k] = floats.Dot(layer.weight.RawRowView(k), r.x.RawRowView(i)) + layer.bias[k]
			}
			sum += r.weight[i] * (floats.LogSumExp(logits) - logits[c]) / floats.Sum(r.weight)
		}
		row := layer.weight.RawRowView(3)
		return sum + w.lambda/4/2*floats.Dot(row, row)
	}
	best, rng := loss(h.layer), rand.New(rand.NewPCG(7, 7))
	for range 20 {
		other := &linear{mat.DenseCopyOf(h.layer.weight), slices.Clone(h.layer.bias)}
		for k := range other.weight.RawRowView(3) {
			other.weight.RawRowView(3)[k] += 0.01 * rng.NormFloat64()
		}
		other.bias[3] += 0.01 * rng.NormFloat64()
		if worse := loss(other); worse <= best {
			t.Fatalf("the loss is %g, and %g beside it", best, worse)
		}
	}
}

// What old labels lose to each other counts, too, and what they gain is there to be lost to new ones.
func TestCautionIsNet(t *testing.T) {
	var logits []vision.Logits
	var class []int
	before := make([]bool, 1000)
	for i := range before {
		// 40 wrong before and right now, 10 the other way round; 100 of those right are nearly new ones
		row := vision.Logits{1, 0, -9}
		if i < 10 {
			row = vision.Logits{0, 1, -9}
		} else if i >= 900 {
			row[2] = float32(i-900)/10 - 5
		}
		before[i] = i < 10 || i >= 50
		logits, class = append(logits, row), append(class, 0)
	}
	// 5 that may be lost and 30 that are gained, less 0.84·√50 for what chance makes of these
	less, within := caution(logits, class, before, 2, 0.005)
	if want := float64(logits[999-29][2]) - 1; !within || less != max(0, want) {
		t.Errorf("%g, %v; not %g", less, within, want)
	}
	for i := range before {
		before[i] = i < 10 || i >= 12
	}
	if _, within := caution(logits, class, before, 2, 0.005); within {
		t.Error("8 of 1000 are lost to other old labels, 5 may be")
	}
}

// Of values whose tail falls exponentially, few exceed what is found in few of them; of many, it is one of them.
func TestExceeded(t *testing.T) {
	rng, sum := rand.New(rand.NewPCG(7, 9)), 0.0
	for range 200 {
		values := make([]float64, 480)
		for i := range values {
			values[i] = rng.ExpFloat64()
		}
		slices.Sort(values)
		slices.Reverse(values)
		sum += exceeded(values, 2.4) / 200
		if got := exceeded(values, 48.5); got != values[48] {
			t.Errorf("%g, not %g", got, values[48])
		}
	}
	if want := math.Log(480 / 2.4); math.Abs(sum-want) > 0.1 {
		t.Errorf("%g, not %g", sum, want)
	}
	two := []float64{3, 2}
	if a, b, c := exceeded(nil, 1), exceeded(two, 0.5), exceeded(two, 5); a != 0 || b != 3 || c != 2 {
		t.Errorf("of none %g, of two %g and %g", a, b, c)
	}
}

// Of the pictures to come about as many are lost as may be; of few held-out ones none.
func TestCaution(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	draw := func(n int) (logits []vision.Logits, class []int) {
		for i := range n { // of two old labels; a new one is behind by 4 on average
			row := vision.Logits{0, 0, float32(-4 + 2*rng.NormFloat64() + rng.ExpFloat64())}
			row[i%2] = 2
			logits, class = append(logits, row), append(class, i%2)
		}
		return logits, class
	}
	lost := func(logits []vision.Logits, c float64) float64 {
		n := 0
		for i, row := range logits {
			if row[i%2] < row[2]-float32(c) {
				n++
			}
		}
		return float64(n) / float64(len(logits))
	}
	caution := func(logits []vision.Logits, class []int, known int, mayLose float64) float64 {
		before := make([]bool, len(logits))
		for i, row := range logits {
			before[i] = row[class[i]] == slices.Max(row[:known])
		}
		less, within := caution(logits, class, before, known, mayLose)
		if !within {
			t.Errorf("what loses nothing is not within %g", mayLose)
		}
		return less
	}
	logits, class := draw(4000)
	fresh, _ := draw(20_000)
	for _, mayLose := range []float64{0.002, 0.005, 0.02} {
		c := caution(logits, class, 2, mayLose)
		if got := lost(fresh, c); got > 2*mayLose || got < mayLose/2 {
			t.Errorf("%g may be lost: with %.3g less %g are", mayLose, c, got)
		}
	}
	if got := lost(fresh, caution(logits, class, 2, noLimit)); got < 0.01 {
		t.Errorf("without a limit %g are lost: this measures nothing", got)
	}
	few, of := logits[:50], class[:50]
	if got := lost(few, caution(few, of, 2, 0.005)+1e-3); got != 0 {
		t.Errorf("of 50 held-out pictures %g are lost", got)
	}
	if a, b := caution(logits, class, 2, noLimit), caution(logits, class, 3, 0); a != 0 || b != 0 {
		t.Errorf("without a limit %g, without new labels %g", a, b)
	}
}
