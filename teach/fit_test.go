package teach

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/vision"
)

// waves are 60 rows of 4 numbers in 3 classes, which bench/teach/peer.py makes, too.
func waves() *rows {
	r := &rows{x: mat.NewDense(60, 4, nil)}
	for i := range 60 {
		for j := range 4 {
			v := math.Sin(1 + 0.7*float64(i) + 1.3*float64(j))
			if i%3 == j {
				v += 0.4
			}
			r.x.Set(i, j, v)
		}
		r.class, r.weight = append(r.class, i%3), append(r.weight, 1)
	}
	return r
}

// scikit-learn 1.7's LogisticRegression(C=1/(60·0.01), tol=1e-10) on the same rows.
var scikit = struct {
	weight [][]float64
	bias   []float64
}{[][]float64{
	{2.097354276264121, -0.1703205149353869, 1.1919875180531532, 0.9615762736234632},
	{-2.0448155986847434, 2.252635605933697, -2.561872820801529, 1.0336556096657192},
	{-0.05253867757937822, -2.0823150910, 1.3698853027483755, -1.9952318832891824},
}, []float64{-0.3432726801525058, 0.21691269226287654, 0.12635998788962924}}

func TestRegressionIsScikitLearns(t *testing.T) {
	zeros := newLinear(3, 4)
	l, err := waves().regress(zeros.weight, 0.01, gradientKept, zeros)
	if err != nil {
		t.Fatal(err)
	}
	floats.AddConst(-floats.Sum(l.bias)/3, l.bias) // a number that all logits share says nothing
	for c, want := range scikit.weight {
		if !floats.EqualApprox(l.weight.RawRowView(c), want, 1e-3) || math.Abs(l.bias[c]-scikit.bias[c]) > 1e-3 {
			t.Errorf("class %d: %v + %v, not %v + %v", c, l.weight.RawRowView(c), l.bias[c], want, scikit.bias[c])
		}
	}
	// The problem is convex: from elsewhere it ends in the same place.
	far := newLinear(3, 4)
	for i := range far.bias {
		far.bias[i] = float64(10 * i)
	}
	again, err := waves().regress(zeros.weight, 0.01, gradientKept, far)
	if err != nil || !mat.EqualApprox(l.weight, again.weight, 1e-3) {
		t.Errorf("from elsewhere: %v, %v", again, err)
	}
}

func TestRegressionStaysAtItsPrior(t *testing.T) {
	prior := newLinear(3, 4)
	for i := range prior.weight.RawMatrix().Data {
		prior.weight.RawMatrix().Data[i] = float64(i) - 5
	}
	l, err := waves().regress(prior.weight, 1e6, gradientKept, prior)
	if err != nil || !mat.EqualApprox(l.weight, prior.weight, 1e-4) {
		t.Errorf("with a strong pull: %v, %v", mat.Formatted(l.weight), err)
	}
}

func TestMeans(t *testing.T) {
	r := &rows{x: mat.NewDense(3, 2, []float64{1, 0, 0.6, 0.8, 0, -1}), class: []int{0, 0, 1},
		weight: []float64{1, 1, 2}}
	l := r.means(2)
	// (1.6, 0.8)/√3.2 and (0, −1)
	if want := mat.NewDense(2, 2, []float64{0.894427, 0.447214, 0, -1}); !mat.EqualApprox(l.weight, want, 1e-6) {
		t.Errorf("%v", mat.Formatted(l.weight))
	}
}

// Fisher's discriminants of two classes with the covariance diag(1, 4): by hand Σ⁻¹μ.
func TestDiscriminants(t *testing.T) {
	r := &rows{x: mat.NewDense(8, 2, []float64{4, 0, 2, 0, 3, 2, 3, -2, -2, 1, -4, 1, -3, 3, -3, -1}),
		class: []int{0, 0, 0, 0, 1, 1, 1, 1}, weight: []float64{1, 1, 1, 1, 1, 1, 1, 1}}
	l, err := r.discriminants(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Σ = diag(½, 2), μ = (3, 0) and (−3, 1)
	if want := mat.NewDense(2, 2, []float64{6, 0, -6, 0.5}); !mat.EqualApprox(l.weight, want, 1e-6) ||
		!floats.EqualApprox(l.bias, []float64{-9, -9.25}, 1e-6) {
		t.Errorf("%v %v", mat.Formatted(l.weight), l.bias)
	}
	// A ridge of 1 adds the mean variance, 1.25.
	if l, err = r.discriminants(2, 1); err != nil || math.Abs(l.weight.At(0, 0)-3/1.75) > 1e-6 {
		t.Errorf("%v %v", mat.Formatted(l.weight), err)
	}
}

// Every class weighs the same in what is chosen by: a head that never answers with a rare one is
// worse than one that takes some pictures of a frequent one for it.
func TestLikelihoodIsOfClasses(t *testing.T) {
	var never, fair []vision.Logits
	var class []int
	for i := range 100 {
		class = append(class, map[bool]int{true: 1}[i < 5])
		never = append(never, vision.Logits{3, 0})
		fair = append(fair, map[bool]vision.Logits{true: {0, 1}, false: {1, 0}}[i < 5])
	}
	if a, b := likelihood(never, class, 1), likelihood(fair, class, 1); b >= a {
		t.Errorf("never %g, fair %g", a, b)
	}
	want := (math.Log1p(math.Exp(-3)) + math.Log1p(math.Exp(3))) / 2
	if got := likelihood(never, class, 1); math.Abs(got-want) > 1e-9 {
		t.Errorf("%g, not %g", got, want)
	}
}

func TestTemperature(t *testing.T) {
	// Logits of ±a with 3 of 4 right: the best temperature makes the score 0.75, so 2a/T = ln 3.
	logits := []vision.Logits{{4, -4}, {4, -4}, {-4, 4}, {4, -4}, nil, {9, 9}}
	class := []int{0, 0, 1, 1, 0, -1}
	if got, want := temperature(logits, class), 8/math.Log(3); math.Abs(got-want) > 1e-3 {
		t.Errorf("%v, not %v", got, want)
	}
	if got := likelihood(logits, class, 1e9); math.Abs(got-math.Ln2) > 1e-6 {
		t.Errorf("without any sharpness %v, not ln 2", got)
	}
	if got := likelihood(nil, nil, 1); got != 0 {
		t.Errorf("of nothing %v", got)
	}
}
