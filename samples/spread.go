package samples

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Bounds of Spread.
const (
	mostSpread  = 100  // samples that are put in front
	mostCentres = 200  // marked samples that they are to differ from
	mostCompare = 2000 // samples to choose from, the newest
)

// Spread orders samples that List gave so that each of the first hundred differs most from those in
// front of it and from those that are marked already (k-centre, by the features that are kept beside
// them, as directions): a few of them show what there is. Samples without features, or of another
// model than the newest's, come behind in their order.
func (r *Review) Spread(of, all []Sample) []Sample {
	sum := ""
	vectors := make([][]float32, len(of))
	for i := range of[:min(len(of), mostCompare)] {
		vectors[i] = r.features(&of[i], &sum)
	}
	near := make([]float64, len(of))
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
	centres := 0
	for i := range all {
		if s := &all[i]; s.Marked && centres < mostCentres {
			if v := r.features(s, &sum); v != nil {
				pass(v)
				centres++
			}
		}
	}
	out, taken := make([]Sample, 0, len(of)), make([]bool, len(of))
	for range mostSpread {
		next := -1
		for i, v := range vectors {
			if v != nil && !taken[i] && near[i] > 0 && (next < 0 || near[i] > near[next]) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		out, taken[next] = append(out, of[next]), true
		pass(vectors[next])
	}
	for i := range of {
		if !taken[i] {
			out = append(out, of[i])
		}
	}
	return out
}

// features are those of a sample, of length 1; nil where it has none, or none of the model of sum,
// which is that of the first.
func (r *Review) features(s *Sample, sum *string) []float32 {
	text, err := r.root.ReadFile(s.path(".json"))
	var told story
	if err != nil || json.Unmarshal(text, &told) != nil || len(told.Features) < 4 || len(told.Features)%4 != 0 {
		return nil
	}
	key := fmt.Sprint(told.Model, " ", len(told.Features))
	if *sum == "" {
		*sum = key
	}
	if *sum != key {
		return nil
	}
	v, square := make([]float32, len(told.Features)/4), 0.0
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(told.Features[4*i:]))
		square += float64(v[i]) * float64(v[i])
	}
	if !(square > 0) || math.IsInf(square, 1) {
		return nil
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(square))
	}
	return slices.Clip(v)
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
