package prune

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
)

// Study is what is known of a network before anything is taken out of it.
type Analysis struct {
	Groups []GroupAnalysis

	network *VGG
	model   *onnx.Model
	groups  []group
	cov     []*mat.SymDense
	mean    [][]float64
	removal []removal
	times   []layerTime // of the layers, the last included; nil: not measured
	bench   *Bench
	logits  []float32 // of the first pictures, row by row
}

// GroupStudy is how a layer's channels look.
type GroupAnalysis struct {
	Layer       string
	Width       int
	Sensitivity float64 // error of the logits for an error of the reader, both as shares of their variance
}

// Limits on how much is looked at.
const (
	covariancePlaces = 48  // of each picture and layer
	trialPictures    = 256 // for sensitivities
	trialValues      = 24 << 20
	trialStep        = 8
)

// trials is how many pictures are enough to see what a layer does to the answers: fewer of large
// ones.
func trials(a vgg16se.Architecture, pictures int) int {
	size := a.Full().InputSize
	return min(pictures, max(8, min(trialPictures, trialValues/(size*size*24))))
}

// Analyse looks at the channels of n, whose file lies with what b has: their covariance where they
// are read, the order in which they can go, and how much the answers feel it.
func Analyse(ctx context.Context, n *VGG, b *Bench) (*Analysis, error) {
	m, err := n.Model()
	if err != nil {
		return nil, err
	}
	s := &Analysis{network: n, model: m, bench: b, groups: groups(n.Arch, &m.Graph)}
	if err := s.covariances(ctx); err != nil {
		return nil, err
	}
	for i, g := range s.groups {
		s.removal = append(s.removal, removal{order: upTo(g.width), cost: make([]float64, g.width)})
		if s.cov[i] != nil {
			s.removal[i] = orderOf(s.cov[i], s.importance(&g))
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

// covariances runs the network once over all pictures.
func (s *Analysis) covariances(ctx context.Context) error {
	b := s.bench
	var tensors []string
	var known []*group
	for i := range s.groups {
		if g := &s.groups[i]; !s.few(g) {
			known, tensors = append(known, g), append(tensors, g.in)
		}
	}
	sums := make([][]*moments, shards)
	for k := range sums {
		for _, g := range known {
			sums[k] = append(sums[k], newMoments(g.width+1, 0))
		}
	}
	n, seen := b.Pictures.Len(), make(chan struct{}, b.Pictures.Len())
	err := b.each(ctx, n, []look{{s.model, tensors}}, func(shard, picture int, out [][]float32) error {
		for i, v := range out {
			g := known[i]
			side := int(math.Round(math.Sqrt(float64(len(v) / g.width))))
			at := places(side, covariancePlaces, picture)
			x := make([]float64, len(at)*(g.width+1))
			columns(x, v, side*side, at, g.width+1)
			for r := range at {
				x[r*(g.width+1)+g.width] = 1
			}
			sums[shard][i].add(len(at), x, nil)
		}
		seen <- struct{}{}
		b.progress("looking at channels", len(seen), n)
		return nil
	})
	if err != nil {
		return err
	}
	s.cov, s.mean = make([]*mat.SymDense, len(s.groups)), make([][]float64, len(s.groups))
	for i, g := range known {
		for k := 1; k < shards; k++ {
			sums[0][i].merge(sums[k][i])
		}
		m := sums[0][i]
		cov, mean := mat.NewSymDense(g.width, nil), make([]float64, g.width)
		for a := range g.width {
			mean[a] = m.xx.At(a, g.width) / float64(m.n)
		}
		for a := range g.width {
			for c := a; c < g.width; c++ {
				cov.SetSym(a, c, m.xx.At(a, c)/float64(m.n)-mean[a]*mean[c])
			}
		}
		s.cov[g.index], s.mean[g.index] = cov, mean
	}
	return nil
}

// importance is what the reader of g makes of an error in its channels: sums of products of its
// weights.
func (s *Analysis) importance(g *group) *mat.SymDense {
	w := s.network.values(g.reader.Params[0].Name)
	out := len(w) / (g.width * g.taps)
	m := newMoments(g.width, 0)
	x := make([]float64, g.taps*g.width)
	for o := range out {
		for i, v := range w[o*g.width*g.taps:][:g.width*g.taps] {
			x[i%g.taps*g.width+i/g.taps] = float64(v)
		}
		m.add(g.taps, x, nil)
	}
	return m.xx
}

// sensitivities cuts every group alone and sees what becomes of the answers.
func (s *Analysis) sensitivities(ctx context.Context) error {
	n := trials(s.network.Arch, s.bench.Pictures.Len())
	var err error
	if s.logits, err = s.answers(ctx, s.network, n); err != nil {
		return err
	}
	for i := range s.groups {
		g := &s.groups[i]
		to := g.width * 5 / 8 / trialStep * trialStep
		if to < trialStep || s.few(g) {
			continue
		}
		keep := s.kept(i, to)
		cut := s.network.clone()
		mix, shift := mixOf(s.cov[i], s.mean[i], keep)
		cut.cut(g, keep, mix, shift)
		got, err := s.answers(ctx, cut, n)
		if err != nil {
			return err
		}
		s.Groups[i].Sensitivity = apart(got, s.logits, n) / max(s.removal[i].cost[g.width-to], 1e-9)
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
func (s *Analysis) answers(ctx context.Context, n *VGG, pictures int) ([]float32, error) {
	m, err := n.Model()
	if err != nil {
		return nil, err
	}
	classes := n.Arch.Classes
	all := make([]float32, pictures*classes)
	err = s.bench.each(ctx, pictures, []look{{m, []string{vgg16se.Output}}}, func(_, i int, out [][]float32) error {
		copy(all[i*classes:], out[0])
		return nil
	})
	return all, err
}

// apart is how far answers are from others, as a share of the variance of those.
func apart(got, want []float32, rows int) float64 {
	classes := len(want) / rows
	var noise, power float64
	for c := range classes {
		mean := 0.0
		for r := range rows {
			mean += float64(want[r*classes+c]) / float64(rows)
		}
		for r := range rows {
			w, g := float64(want[r*classes+c]), float64(got[r*classes+c])
			noise, power = noise+(g-w)*(g-w), power+(w-mean)*(w-mean)
		}
	}
	return noise / max(power, math.SmallestNonzeroFloat64)
}

// kept are the channels of group i that are left of it at a width, in their order.
func (s *Analysis) kept(i, width int) []int {
	keep := slices.Clone(s.removal[i].order[s.groups[i].width-width:])
	slices.Sort(keep)
	return keep
}
