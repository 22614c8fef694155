package teach

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"
)

// linear is a layer: logits = weight·x + bias.
type linear struct {
	weight *mat.Dense // classes × width
	bias   []float64  // classes
}

func newLinear(classes, width int) *linear {
	return &linear{mat.NewDense(classes, width, nil), make([]float64, classes)}
}

// logits of one row.
func (l *linear) logits(x, out []float64) {
	for c := range l.bias {
		out[c] = floats.Dot(l.weight.RawRowView(c), x) + l.bias[c]
	}
}

// rows are what a layer is fitted to.
type rows struct {
	x      *mat.Dense // n × width
	class  []int      // of each row
	weight []float64  // of each row, above 0
}

// Where a fit has converged: one that is kept, and one that is only measured.
const (
	gradientKept     = 1e-7
	gradientMeasured = 3e-4
	mostIterations   = 1000
)

// regress fits a layer by multinomial logistic regression: it minimises
//
//	Σ weightᵢ·(−log softmax(logitsᵢ)[classᵢ]) / Σ weightᵢ + lambda/2·‖weight − prior‖²
//
// from start on, by L-BFGS, until no part of the gradient exceeds small; the bias is not penalised.
// The problem is convex: the answer depends on start within that only. With a prior of zeros,
// scikit-learn's LogisticRegression is the same with C = 1/(n·lambda).
func (r *rows) regress(prior *mat.Dense, lambda, small float64, start *linear) (*linear, error) {
	n, width := r.x.Dims()
	classes := len(start.bias)
	o := &objective{rows: r, classes: classes, width: width, lambda: lambda, total: floats.Sum(r.weight),
		scores: mat.NewDense(n, classes, nil), prior: prior.RawMatrix().Data, off: make([]float64, classes*width)}
	problem := optimize.Problem{
		Func: func(p []float64) float64 { return o.at(p) },
		Grad: func(grad, p []float64) { o.at(p); copy(grad, o.gradient) },
	}
	at := append(append([]float64{}, start.weight.RawMatrix().Data...), start.bias...)
	result, err := optimize.Minimize(problem, at, &optimize.Settings{GradientThreshold: small,
		MajorIterations: mostIterations, Converger: optimize.NeverTerminate{}}, &optimize.LBFGS{Store: 10})
	if result == nil {
		return nil, fmt.Errorf("the head cannot be fitted: %w", err)
	}
	// A line search that finds no lower point any more is at the bottom, to rounding.
	if o.at(result.X); err != nil && floats.Norm(o.gradient, math.Inf(1)) > 1e3*small {
		return nil, fmt.Errorf("the head cannot be fitted: %w", err)
	}
	l := newLinear(classes, width)
	copy(l.weight.RawMatrix().Data, result.X)
	copy(l.bias, result.X[classes*width:])
	return l, nil
}

// objective is what regress minimises, with its gradient at the last point.
type objective struct {
	*rows
	classes, width int
	lambda, total  float64
	scores         *mat.Dense // n × classes
	prior, off     []float64  // off: weight − prior

	point, gradient []float64
	value           float64
}

func (o *objective) at(p []float64) float64 {
	if o.point != nil && floats.Equal(o.point, p) {
		return o.value
	}
	o.point, o.gradient = append(o.point[:0], p...), append(o.gradient[:0], p...)
	weight := mat.NewDense(o.classes, o.width, o.point[:o.classes*o.width])
	bias := o.point[o.classes*o.width:]
	o.scores.Mul(o.x, weight.T())
	loss := 0.0
	slope := o.gradient[o.classes*o.width:]
	clear(slope)
	for i, class := range o.class {
		row := o.scores.RawRowView(i)
		floats.Add(row, bias)
		sum := floats.LogSumExp(row)
		w := o.weight[i] / o.total
		loss += w * (sum - row[class])
		for c := range row {
			row[c] = w * math.Exp(row[c]-sum)
		}
		row[class] -= w
		floats.Add(slope, row)
	}
	data := weight.RawMatrix().Data
	gradient := mat.NewDense(o.classes, o.width, o.gradient[:o.classes*o.width])
	gradient.Mul(o.scores.T(), o.x)
	floats.SubTo(o.off, data, o.prior)
	floats.AddScaled(gradient.RawMatrix().Data, o.lambda, o.off)
	o.value = loss + o.lambda/2*floats.Dot(o.off, o.off)
	return o.value
}

// discriminants are Fisher's: with the classes as normal distributions of one covariance, every class
// as likely as any other,
//
//	logits = μᵀΣ⁻¹x − ½·μᵀΣ⁻¹μ,
//
// Σ having ridge times its mean variance more on the diagonal.
func (r *rows) discriminants(classes int, ridge float64) (*linear, error) {
	n, width := r.x.Dims()
	mean, total := mat.NewDense(classes, width, nil), make([]float64, classes)
	for i, c := range r.class {
		floats.AddScaled(mean.RawRowView(c), r.weight[i], r.x.RawRowView(i))
		total[c] += r.weight[i]
	}
	for c, t := range total {
		if t > 0 {
			floats.Scale(1/t, mean.RawRowView(c))
		}
	}
	off := mat.NewDense(n, width, nil)
	for i, c := range r.class {
		row := off.RawRowView(i)
		floats.SubTo(row, r.x.RawRowView(i), mean.RawRowView(c))
		floats.Scale(math.Sqrt(r.weight[i]/floats.Sum(total)), row)
	}
	covariance := mat.NewSymDense(width, nil)
	covariance.SymOuterK(1, off.T())
	more := ridge*mat.Trace(covariance)/float64(width) + 1e-9
	for k := range width {
		covariance.SetSym(k, k, covariance.At(k, k)+more)
	}
	var factor mat.Cholesky
	if !factor.Factorize(covariance) {
		return nil, errors.New("the head cannot be fitted: the pictures of a label do not differ")
	}
	var solved mat.Dense
	if err := factor.SolveTo(&solved, mean.T()); err != nil {
		return nil, fmt.Errorf("the head cannot be fitted: %w", err)
	}
	l := newLinear(classes, width)
	l.weight.Copy(solved.T())
	for c := range l.bias {
		l.bias[c] = -floats.Dot(l.weight.RawRowView(c), mean.RawRowView(c)) / 2
	}
	return l, nil
}

// means is the nearest class mean as a layer: rows have length 1, and so get the means
// (SimpleShot).
func (r *rows) means(classes int) *linear {
	_, width := r.x.Dims()
	l := newLinear(classes, width)
	for i, c := range r.class {
		floats.AddScaled(l.weight.RawRowView(c), r.weight[i], r.x.RawRowView(i))
	}
	for c := range classes {
		row := l.weight.RawRowView(c)
		if norm := floats.Norm(row, 2); norm > 0 {
			floats.Scale(1/norm, row)
		}
	}
	return l
}
