package teach

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"

	"github.com/vggse/vggse-agent/vision"
)

// garbage is how much of it there may be while heads are fitted, in percent of what is in use: beside
// an agent memory is worth more than the time to collect it, and the pieces are few and large.
const garbage = 15

// frugal keeps memory small until what it returns is called.
func frugal() func() {
	before := debug.SetGCPercent(garbage)
	return func() { debug.SetGCPercent(before) }
}

// linear is a layer: logits = weight·x + bias.
type linear struct {
	weight *mat.Dense // classes × width
	bias   []float64  // classes
}

func newLinear(classes, width int) *linear {
	return &linear{mat.NewDense(classes, width, nil), make([]float64, classes)}
}

// logits of one row.
func (l *linear) logits(x []float64, out vision.Logits) {
	for c := range l.bias {
		out[c] = float32(floats.Dot(l.weight.RawRowView(c), x) + l.bias[c])
	}
}

// rows are what a layer is fitted to.
type rows struct {
	x      *mat.Dense // n × width
	class  []int      // of each row
	weight []float64  // of each row, above 0
	rest   []rest     // of each row, what classes that are not fitted say; nil: all are fitted
}

// rest is what the layer that a network has says of a row.
type rest struct {
	sum float64 // logarithm of the sum of the exponentials of its logits
	own float64 // logit of the row's class, where that is not fitted: its class is −1 then
}

// Where a fit has converged: one that is kept, and one that is only measured.
const (
	gradientKept     = 1e-8
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
	if small <= gradientKept {
		o.polish(result.X)
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
	scores, turned *mat.Dense // n × classes
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
		loss += o.score(i, class, row, o.weight[i]/o.total)
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

// polish goes from p, where a line search finds no lower value any more, to where the gradient is down
// to rounding, by Newton's steps, each from conjugate gradients (Nocedal and Wright, Numerical
// Optimization, section 7.1): so that processors that round otherwise come to the same place.
func (o *objective) polish(p []float64) {
	const steps, most, solved = 3, 200, 1e-6
	from, step, residual := make([]float64, len(p)), make([]float64, len(p)), make([]float64, len(p))
	direction, curved := make([]float64, len(p)), make([]float64, len(p))
	for range steps {
		o.at(p)
		copy(from, p)
		before := floats.Norm(o.gradient, 2)
		clear(step)
		floats.ScaleTo(residual, -1, o.gradient)
		o.level(residual)
		copy(direction, residual)
		square := floats.Dot(residual, residual)
		for range most {
			if math.Sqrt(square) <= solved*before {
				break
			}
			o.curve(direction, curved)
			bend := floats.Dot(direction, curved)
			if bend <= 0 {
				break
			}
			length := square / bend
			floats.AddScaled(step, length, direction)
			floats.AddScaled(residual, -length, curved)
			was := square
			square = floats.Dot(residual, residual)
			floats.AddScaledTo(direction, residual, square/was, direction)
		}
		floats.Add(p, step)
		if o.at(p); !(floats.Norm(o.gradient, 2) < before) {
			copy(p, from) // at rounding
			return
		}
	}
}

// curve sets out to the product of the objective's second derivatives at its last point, of which
// scores holds the gradients of the logits, with v.
func (o *objective) curve(v, out []float64) {
	cut := o.classes * o.width
	if o.turned == nil {
		o.turned = mat.NewDense(len(o.class), o.classes, nil)
	}
	o.turned.Mul(o.x, mat.NewDense(o.classes, o.width, v[:cut]).T())
	clear(out[cut:])
	for i, class := range o.class {
		w, row, gradient := o.weight[i]/o.total, o.turned.RawRowView(i), o.scores.RawRowView(i)
		floats.Add(row, v[cut:])
		p := func(c int) float64 {
			if c == class {
				return gradient[c]/w + 1
			}
			return gradient[c] / w
		}
		mean := 0.0
		for c := range row {
			mean += p(c) * row[c]
		}
		for c := range row {
			row[c] = w * p(c) * (row[c] - mean)
		}
		floats.Add(out[cut:], row)
	}
	mat.NewDense(o.classes, o.width, out[:cut]).Mul(o.turned.T(), o.x)
	floats.AddScaled(out[:cut], o.lambda, v[:cut])
	o.level(out)
}

// level takes out of a gradient what rounding leaves in it of a number that is added to every logit, which
// says nothing where all classes are fitted.
func (o *objective) level(v []float64) {
	if bias := v[o.classes*o.width:]; o.rest == nil {
		floats.AddConst(-floats.Sum(bias)/float64(len(bias)), bias)
	}
}

// score is the loss of row i, whose logits become its gradient in place; w is its weight.
func (o *objective) score(i, class int, logits []float64, w float64) float64 {
	sum, own := floats.LogSumExp(logits), 0.0
	if o.rest != nil {
		high, low := max(sum, o.rest[i].sum), min(sum, o.rest[i].sum)
		sum, own = high+math.Log1p(math.Exp(low-high)), o.rest[i].own
	}
	if class >= 0 {
		own = logits[class]
	}
	for c := range logits {
		logits[c] = w * math.Exp(logits[c]-sum)
	}
	if class >= 0 {
		logits[class] -= w
	}
	return w * (sum - own)
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
