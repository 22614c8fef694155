package samples

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Bounds of Spread.
const (
	mostGroups  = 20   // whose representatives are put in front
	mostSpread  = 100  // samples that are put in front, with those
	mostCentres = 200  // marked samples that they are to differ from
	mostCompare = 2000 // samples to choose from, the newest
	moves       = 10   // of the centres of groups
)

// Spread orders samples that List gave so that a few of them, in front, show what there is: first the
// representatives of twenty groups, the largest group first (k-means, by the features that are kept
// beside the samples, as directions; the marked ones are centres that stay), then, up to a hundred, each
// time the one that differs most from those in front of it and from the marked ones. Where the samples'
// p-values are kept, the groups are those of the half that looks least like a label. Samples without
// features, or of another model than the newest's, come behind in their order.
func (r *Review) Spread(of, all []Sample) []Sample {
	sum := ""
	vectors, p := make([][]float32, len(of)), make([]float32, len(of))
	for i := range of[:min(len(of), mostCompare)] {
		vectors[i], p[i] = r.features(&of[i], &sum)
	}
	var marked [][]float32
	for i := range all {
		if s := &all[i]; s.Marked && len(marked) < mostCentres {
			if v, _ := r.features(s, &sum); v != nil {
				marked = append(marked, v)
			}
		}
	}
	front := representatives(lessKnown(vectors, p), marked)
	front = append(front, farthest(vectors, marked, front, mostSpread-len(front))...)
	out, taken := make([]Sample, 0, len(of)), make([]bool, len(of))
	for _, i := range front {
		out, taken[i] = append(out, of[i]), true
	}
	for i := range of {
		if !taken[i] {
			out = append(out, of[i])
		}
	}
	return out
}

// farthest are up to n places of vectors, each the farthest from those before it, from the marked ones
// and from those at the places taken (k-centre).
func farthest(vectors, marked [][]float32, taken []int, n int) []int {
	near := make([]float64, len(vectors))
	for i := range near {
		near[i] = math.Inf(1)
	}
	pass := func(centre []float32) {
		for i, v := range vectors {
			if v != nil {
				near[i] = min(near[i], apart(v, centre))
			}
		}
	}
	for _, v := range marked {
		pass(v)
	}
	for _, i := range taken {
		pass(vectors[i])
	}
	var out []int
	for range n {
		next := -1
		for i, v := range vectors {
			if v != nil && near[i] > 0 && (next < 0 || near[i] > near[next]) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		out = append(out, next)
		pass(vectors[next])
	}
	return out
}

// lessKnown are the vectors, nil for the half with the higher p-values; all where not each has one.
func lessKnown(vectors [][]float32, p []float32) [][]float32 {
	var values []float32
	for i, v := range vectors {
		if v == nil {
			continue
		}
		if p[i] == 0 {
			return vectors
		}
		values = append(values, p[i])
	}
	if len(values) <= 2*mostGroups {
		return vectors
	}
	slices.Sort(values)
	out, limit := make([][]float32, len(vectors)), values[len(values)/2]
	for i, v := range vectors {
		if p[i] <= limit {
			out[i] = v
		}
	}
	return out
}

// representatives are the places of the vectors that are nearest to the centres of their groups, the
// largest group first; none where there are no more vectors than groups. Vectors that are nearer to a
// marked one than to a centre are in no group.
func representatives(vectors, marked [][]float32) []int {
	var at []int
	for i, v := range vectors {
		if v != nil {
			at = append(at, i)
		}
	}
	if len(at) <= mostGroups {
		return nil
	}
	centres := begin(vectors, marked, at)
	group := make([]int, len(at))
	for range moves {
		assign(vectors, marked, centres, at, group)
		move(vectors, centres, at, group)
	}
	assign(vectors, marked, centres, at, group)
	size, nearest, best := make([]int, mostGroups), make([]float64, mostGroups), make([]int, mostGroups)
	for k, g := range group {
		if g < 0 {
			continue
		}
		d := apart(vectors[at[k]], centres[g])
		if size[g]++; size[g] == 1 || d < nearest[g] {
			nearest[g], best[g] = d, at[k]
		}
	}
	var order, out []int
	for g, n := range size {
		if n > 0 {
			order = append(order, g)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return size[b] - size[a] })
	for _, g := range order {
		out = append(out, best[g])
	}
	return out
}

// begin draws the first centres among the vectors at some places: one that is far from those drawn and
// from the marked ones is the likelier (k-means++), always the same ones.
func begin(vectors, marked [][]float32, at []int) [][]float32 {
	rng, near := rand.New(rand.NewPCG(1, 1)), make([]float64, len(at))
	for k, i := range at {
		near[k] = 1
		for m, v := range marked {
			d := apart(vectors[i], v)
			if m == 0 || d < near[k] {
				near[k] = d
			}
		}
	}
	var centres [][]float32
	for range mostGroups {
		sum := 0.0
		for _, d := range near {
			sum += d
		}
		left, next := rng.Float64()*sum, 0
		for next < len(near)-1 && left >= near[next] {
			left -= near[next]
			next++
		}
		c := slices.Clone(vectors[at[next]])
		for k, i := range at {
			d := apart(vectors[i], c)
			if len(centres) == 0 && len(marked) == 0 || d < near[k] {
				near[k] = d
			}
		}
		centres = append(centres, c)
	}
	return centres
}

// assign writes the nearest centre of each vector at some places, −1 where a marked one is nearer.
func assign(vectors, marked, centres [][]float32, at, group []int) {
	for k, i := range at {
		least := math.Inf(1)
		for g, c := range centres {
			if d := apart(vectors[i], c); d < least {
				least, group[k] = d, g
			}
		}
		for _, v := range marked {
			if apart(vectors[i], v) < least {
				group[k] = -1
				break
			}
		}
	}
}

// move puts the centres into the middle of their groups.
func move(vectors, centres [][]float32, at, group []int) {
	count := make([]int, len(centres))
	for _, g := range group {
		if g >= 0 {
			count[g]++
		}
	}
	for g, c := range centres {
		if count[g] > 0 {
			clear(c)
		}
	}
	for k, i := range at {
		if g := group[k]; g >= 0 {
			for d, v := range vectors[i] {
				centres[g][d] += v / float32(count[g])
			}
		}
	}
}

// features are those of a sample, of length 1; nil where it has none, or none of the model of sum,
// which is that of the first; and its p-value, 0 where that is not kept.
func (r *Review) features(s *Sample, sum *string) ([]float32, float32) {
	text, err := r.root.ReadFile(s.path(".json"))
	var told story
	if err != nil || json.Unmarshal(text, &told) != nil || len(told.Features) < 4 || len(told.Features)%4 != 0 {
		return nil, 0
	}
	key := fmt.Sprint(told.Model, " ", len(told.Features))
	if *sum == "" {
		*sum = key
	}
	if *sum != key {
		return nil, 0
	}
	v, square := make([]float32, len(told.Features)/4), 0.0
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(told.Features[4*i:]))
		square += float64(v[i]) * float64(v[i])
	}
	if !(square > 0) || math.IsInf(square, 1) {
		return nil, 0
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(square))
	}
	return slices.Clip(v), told.PValue
}

// apart is the squared distance of two vectors of one length.
func apart(a, b []float32) float64 {
	sum := 0.0
	for i, x := range a {
		d := float64(x) - float64(b[i])
		sum += d * d
	}
	return sum
}
