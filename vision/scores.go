package vision

import (
	"fmt"
	"math"
)

// Scores says how raw scores become scores of 0 to 1.
type Scores string

// The kinds of Scores. With a softmax exactly one label is right and the scores sum to 1; with a
// sigmoid each label is right or wrong for itself.
const (
	ScoresSoftmax Scores = "softmax" // and ""
	ScoresSigmoid Scores = "sigmoid"
)

// Validate refuses other words.
func (s Scores) Validate() error {
	if s != "" && s != ScoresSoftmax && s != ScoresSigmoid {
		return fmt.Errorf("must be %s or %s, got %q", ScoresSoftmax, ScoresSigmoid, string(s))
	}
	return nil
}

// Apply is Softmax or Sigmoid.
func (s Scores) Apply(dst, l []float32) (ok bool) {
	if s == ScoresSigmoid {
		return Sigmoid(dst, l)
	}
	return Softmax(dst, l)
}

// Sigmoid writes 1 / (1 + exp(−lᵢ)) into dst, which may be l and is at least as long. Where l is
// empty or holds a NaN or an infinity there is no answer: dst is filled with zeros and ok is false.
func Sigmoid(dst, l []float32) (ok bool) {
	dst = dst[:len(l)]
	for i, v := range l {
		v := float64(v)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			clear(dst)
			return false
		}
		dst[i] = float32(1 / (1 + math.Exp(-v)))
	}
	return len(l) > 0
}

// Softmax writes exp(lᵢ − max l) / Σⱼ exp(lⱼ − max l) into dst, which may be l and is at least as
// long. The sum is kept in float64. Where l is empty or holds a NaN or an infinity there is no
// answer: dst is filled with zeros and ok is false.
func Softmax(dst, l []float32) (ok bool) {
	dst = dst[:len(l)]
	highest := math.Inf(-1)
	for _, v := range l {
		if v := float64(v); math.IsNaN(v) || math.IsInf(v, 0) {
			clear(dst)
			return false
		} else if v > highest {
			highest = v
		}
	}
	sum := 0.0
	for i, v := range l {
		e := math.Exp(float64(v) - highest)
		dst[i] = float32(e)
		sum += e
	}
	for i := range dst {
		dst[i] = float32(float64(dst[i]) / sum)
	}
	return len(l) > 0
}

// TopK returns the indices of the k highest scores, best first, equal ones in their order; all of
// them where there are fewer, none for a NaN. It reuses dst's memory and allocates nothing once
// cap(dst) ≥ k. It keeps the best seen so far in order: n comparisons, and k moves for each score
// that gets in.
func TopK(dst []int, scores []float32, k int) []int {
	dst = dst[:0]
	for i, s := range scores {
		if s != s || len(dst) >= k && (k <= 0 || s <= scores[dst[k-1]]) {
			continue
		}
		if len(dst) < k {
			dst = append(dst, i)
		}
		at := len(dst) - 1
		for ; at > 0 && scores[dst[at-1]] < s; at-- {
			dst[at] = dst[at-1]
		}
		dst[at] = i
	}
	return dst
}
