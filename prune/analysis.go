package prune

import (
	"context"
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
)

// Analysis is what is known of a network before anything is taken out of it.
type Analysis struct {
	Groups []GroupAnalysis

	network *VGG
	model   *onnx.Model
	groups  []group
	known   []known
	logits  [][]float32 // picture by picture
	weight  []float32   // what a picture counts
	removal []removal
	times   []layerTime // of the layers, the last included; nil: not measured
	bench   *Bench
}

// GroupAnalysis is how a layer's channels look.
type GroupAnalysis struct {
	Layer       string
	Width       int
	Sensitivity float64 // error of the answers for an error of the reader, as a share of its variance
}

// known is what the network that was has at the reader of a group.
type known struct {
	sampling
	xx      *mat.SymDense // second moments of its inputs, those of a constant last; nil: few
	weights *mat.Dense    // of the inputs, the constant last
	// at the samples of each picture: its outputs; its inputs, where not all taps are looked at; what
	// the gate sees
	out, in, gate [][]float32
}

// Limits on how much is looked at.
const (
	momentShards  = 4   // of all, whose patches say which channels go
	trialPictures = 256 // for sensitivities
	trialValues   = 24 << 20
	trialStep     = 8
)

// trials is how many pictures are enough to see what a layer does to the answers: fewer of large
// ones.
func trials(a vgg16se.Architecture, pictures int) int {
	size := a.Full().InputSize
	return min(pictures, max(8, min(trialPictures, trialValues/(size*size*24))))
}

// Analyse looks at the channels of n, whose file lies with what b has: what is read of them, the
// order in which they can go, and how much the answers feel it.
func Analyse(ctx context.Context, n *VGG, b *Bench) (*Analysis, error) {
	m, err := n.Model()
	if err != nil {
		return nil, err
	}
	s := &Analysis{network: n, model: m, bench: b, groups: groups(n.Arch, &m.Graph)}
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	for i := range s.groups {
		g, k := &s.groups[i], &s.known[i]
		s.removal = append(s.removal, removal{order: upTo(g.width), cost: make([]float64, g.width)})
		if k.xx != nil {
			s.removal[i] = orderOf(k.xx, k.weights, g.width, k.taps, k.power())
		}
		s.Groups = append(s.Groups, GroupAnalysis{Layer: g.maker.Name, Width: g.width})
		b.progress("ordering channels", i+1, len(s.groups))
	}
	return s, s.sensitivities(ctx)
}

func upTo(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = i
	}
	return v
}

// power is the sum of the variances of the outputs.
func (k *known) power() float64 {
	p, q := k.weights.Dims()
	var y mat.Dense
	y.Mul(k.xx, k.weights)
	n, sum := k.xx.At(p-1, p-1), 0.0
	for j := range q {
		for i := range p {
			sum += y.At(i, j) * k.weights.At(i, j)
		}
		sum -= y.At(p-1, j) * y.At(p-1, j) / n
	}
	return sum
}

// viewing is what look sees.
type viewing struct {
	tensors  []string
	at       map[string]int   // where a tensor is among them
	sums     [][]*collector   // of what readers read: by group, then shard; no shards, or only the first: not looked at
	products map[int]*product // that sum up, by how many numbers a sample has
}

func (v *viewing) want(t string) {
	if _, ok := v.at[t]; !ok {
		v.at[t] = len(v.tensors)
		v.tensors = append(v.tensors, t)
	}
}

// look runs the network once over all pictures.
func (s *Analysis) look(ctx context.Context) (err error) {
	b, n := s.bench, s.bench.Pictures.Len()
	s.known, s.logits, s.weight = make([]known, len(s.groups)), make([][]float32, n), make([]float32, n)
	v := &viewing{at: map[string]int{}, sums: make([][]*collector, len(s.groups)), products: map[int]*product{}}
	defer func() {
		for _, p := range v.products {
			err = errors.Join(err, p.Close())
		}
	}()
	v.want(vgg16se.Output)
	for i := range s.groups {
		if err := s.prepare(ctx, v, i); err != nil {
			return err
		}
	}
	seen := make(chan struct{}, n)
	looks := []look{{s.model, v.tensors, nil}}
	err = b.each(ctx, n, looks, func(shard, picture int, out [][]float32) error {
		s.logits[picture] = slices.Clone(out[0])
		s.weight[picture] = weightOf(out[0])
		for i := range s.groups {
			if k := &s.known[i]; k.weights == nil || picture >= k.pictures {
				continue
			}
			if err := s.see(ctx, v, i, shard, picture, out); err != nil {
				return err
			}
		}
		seen <- struct{}{}
		b.progress("looking at channels", len(seen), n)
		return nil
	})
	if err != nil {
		return err
	}
	for i, sums := range v.sums {
		if len(sums) == 0 {
			continue
		}
		m, err := merged(ctx, sums)
		if err != nil {
			return err
		}
		s.known[i].xx, v.sums[i] = m.xx, nil
	}
	return nil
}

// prepare says what is to be seen of group i.
func (s *Analysis) prepare(ctx context.Context, v *viewing, i int) (err error) {
	g, k := &s.groups[i], &s.known[i]
	k.sampling = samplingOf(g, g.width, s.bench.Pictures.Len())
	if s.few(g) {
		return nil
	}
	v.want(g.in)
	v.want(g.out)
	k.out = make([][]float32, k.pictures)
	if k.taps != g.taps {
		k.in = make([][]float32, k.pictures)
	}
	if g.gate != nil {
		v.want(g.before)
		k.gate = make([][]float32, k.pictures)
	}
	p := g.width*k.taps + 1
	if v.products[p] == nil {
		if v.products[p], err = s.bench.product(ctx, p, sumsGraph(p, 0), "sums"); err != nil {
			delete(v.products, p)
			return err
		}
	}
	summed := momentShards
	if g.dense() {
		summed = shards
	}
	for range summed {
		v.sums[i] = append(v.sums[i], &collector{moments: newMoments(p, 0), product: v.products[p]})
	}
	k.weights = s.weights(g, k)
	return nil
}

// see keeps what group i shows of a picture.
func (s *Analysis) see(ctx context.Context, v *viewing, i, shard, picture int, out [][]float32) error {
	g, k := &s.groups[i], &s.known[i]
	in := out[v.at[g.in]]
	if k.out[picture] = out[v.at[g.out]]; g.dense() {
		k.out[picture] = slices.Clone(k.out[picture])
	} else {
		k.out[picture] = k.outputs(k.out[picture], g.reader.Shape[0], picture)
	}
	if k.in != nil {
		k.in[picture] = k.outputs(in, g.width, picture)
	}
	if k.gate != nil {
		k.gate[picture] = k.gateSamples(g, out[v.at[g.before]], g.width, picture)
	}
	if shard >= len(v.sums[i]) {
		return nil
	}
	c := v.sums[i][shard]
	rows, err := c.grow(ctx, k.each)
	if err != nil {
		return err
	}
	k.inputs(rows, c.p, g, in, g.width, picture)
	s.weigh(rows, picture)
	return nil
}

// weights are those that the reader of g has for the inputs of a sample; where they are not all
// taps, what makes as much of an error in the channels as the reader does.
func (s *Analysis) weights(g *group, k *known) *mat.Dense {
	if k.taps == g.taps {
		return readerWeights(s.network, g, g.width)
	}
	var chol mat.Cholesky
	q := s.importance(g)
	mean := mat.Trace(q) / float64(g.width)
	for i := range g.width {
		q.SetSym(i, i, q.At(i, i)+1e-9*mean+1e-30)
	}
	w := mat.NewDense(g.width+1, g.width, nil)
	if !chol.Factorize(q) {
		for i := range g.width {
			w.Set(i, i, math.Sqrt(q.At(i, i)))
		}
		return w
	}
	var l mat.TriDense
	chol.LTo(&l)
	w.Slice(0, g.width, 0, g.width).(*mat.Dense).Copy(&l)
	return w
}

// readerWeights are the weights of the reader of g in n, which has so many channels now, and its
// bias as those of a constant: taps of a channel together, × outputs.
func readerWeights(n *VGG, g *group, channels int) *mat.Dense {
	weight, bias := n.values(g.reader.Params[0].Name), n.values(g.reader.Params[1].Name)
	p := channels * g.taps
	w := mat.NewDense(p+1, len(bias), nil)
	for o, b := range bias {
		for i, v := range weight[o*p:][:p] {
			w.Set(i, o, float64(v))
		}
		w.Set(p, o, float64(b))
	}
	return w
}

// setReader is the other way.
func (n *VGG) setReader(g *group, w *mat.Dense) {
	p, out := w.Dims()
	p--
	weight, bias := make([]float32, out*p), make([]float32, out)
	for o := range out {
		for i := range p {
			weight[o*p+i] = float32(w.At(i, o))
		}
		bias[o] = float32(w.At(p, o))
	}
	n.own[g.reader.Params[0].Name], n.own[g.reader.Params[1].Name] = weight, bias
}

// importance is what the reader of g makes of an error in its channels: sums of products of its
// weights.
func (s *Analysis) importance(g *group) *mat.SymDense {
	w := s.network.values(g.reader.Params[0].Name)
	out := len(w) / (g.width * g.taps)
	x := mat.NewDense(g.taps, g.width, nil)
	sum, part := mat.NewSymDense(g.width, nil), mat.NewSymDense(g.width, nil)
	for o := range out {
		for i, v := range w[o*g.width*g.taps:][:g.width*g.taps] {
			x.Set(i%g.taps, i/g.taps, float64(v))
		}
		part.SymOuterK(1, x.T())
		sum.AddSym(sum, part)
	}
	return sum
}

// narrow leaves the kept channels of group i of n. The weights that read them take the others' part
// as well as the inputs of the network that was allow.
func (s *Analysis) narrow(n *VGG, i int, keep []int) {
	g, k := &s.groups[i], &s.known[i]
	if k.taps == g.taps {
		w := fitted(k.xx, k.weights, keep, g.width, k.taps)
		n.cut(g, keep, nil, nil)
		n.setReader(g, w)
		return
	}
	mix, shift := mixOf(k.mixed(g, keep))
	n.cut(g, keep, mix, shift)
}

// mixed are the weights of the kept channels and a constant that make up all channels, × channels.
func (k *known) mixed(g *group, keep []int) *mat.Dense {
	same := mat.NewDense(g.width+1, g.width, nil)
	for c := range g.width {
		same.Set(c, c, 1)
	}
	return fitted(k.xx, same, keep, g.width, 1)
}

// mixOf takes weights of kept channels and a constant, × channels, apart.
func mixOf(w *mat.Dense) (mix *mat.Dense, shift []float64) {
	kept, width := w.Dims()
	return mat.DenseCopyOf(w.Slice(0, kept-1, 0, width).T()), mat.Row(nil, kept-1, w)
}

// sensitivities cuts every group alone and sees what becomes of the answers.
func (s *Analysis) sensitivities(ctx context.Context) error {
	n := trials(s.network.Arch, s.bench.Pictures.Len())
	for i := range s.groups {
		g := &s.groups[i]
		to := g.width * 5 / 8 / trialStep * trialStep
		if to < trialStep || s.few(g) {
			continue
		}
		cut := s.network.clone()
		s.narrow(cut, i, s.kept(i, to))
		got, err := s.answers(ctx, cut, n)
		if err != nil {
			return err
		}
		s.Groups[i].Sensitivity = apart(got, s.logits[:n]) / max(s.removal[i].cost[g.width-to], 1e-9)
		s.bench.progress("measuring layers", i+1, len(s.groups))
	}
	return nil
}

// few tells whether a hidden layer, of which a picture is one sample, is left alone: too wide for
// the pictures or for this method.
func (s *Analysis) few(g *group) bool {
	return g.index >= s.network.Arch.Convolutions() && g.width > min(largestNormal, s.bench.Pictures.Len()/2)
}

// answers are the logits of the first n pictures.
func (s *Analysis) answers(ctx context.Context, n *VGG, pictures int) ([][]float32, error) {
	m, err := n.Model()
	if err != nil {
		return nil, err
	}
	all := make([][]float32, pictures)
	answers := []look{{m, []string{vgg16se.Output}, nil}}
	err = s.bench.each(ctx, pictures, answers, func(_, i int, out [][]float32) error {
		all[i] = slices.Clone(out[0])
		return nil
	})
	return all, err
}

// apart is how far answers are from others, as a share of the variance of those.
func apart(got, want [][]float32) float64 {
	var noise, power float64
	for c := range want[0] {
		mean := 0.0
		for r := range want {
			mean += float64(want[r][c]) / float64(len(want))
		}
		for r := range want {
			w, g := float64(want[r][c]), float64(got[r][c])
			noise, power = noise+(g-w)*(g-w), power+(w-mean)*(w-mean)
		}
	}
	return noise / max(power, math.SmallestNonzeroFloat64)
}

// logSoftmax are the logarithms of the probabilities.
func logSoftmax(z []float32) []float64 {
	most, sum := float64(slices.Max(z)), 0.0
	for _, v := range z {
		sum += math.Exp(float64(v) - most)
	}
	out := make([]float64, len(z))
	for i, v := range z {
		out[i] = float64(v) - most - math.Log(sum)
	}
	return out
}

// kept are the channels of group i that are left of it at a width, in their order.
func (s *Analysis) kept(i, width int) []int {
	keep := slices.Clone(s.removal[i].order[s.groups[i].width-width:])
	slices.Sort(keep)
	return keep
}

// leastWeight is what a picture counts whose answer is beyond doubt.
const leastWeight = 0.1

// weightOf is what a picture counts in all fits: the more, the less sure its answer is, whose
// logits these are. It is the trace of the Fisher information of the answer, one less the sum of
// the squares of the probabilities: what an error of the logits does to the answer.
func weightOf(logits []float32) float32 {
	w := 1 + leastWeight
	for _, l := range logSoftmax(logits) {
		w -= math.Exp(2 * l)
	}
	return float32(w)
}

// weigh multiplies the samples of a picture with the root of what it counts.
func (s *Analysis) weigh(rows []float32, picture int) {
	w := float32(math.Sqrt(float64(s.weight[picture])))
	for i := range rows {
		rows[i] *= w
	}
}
