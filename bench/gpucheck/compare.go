package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
)

// difference is how far two sets of answers are apart.
type difference struct {
	worst float64 // largest difference of two logits, in parts of the largest logit
	same  int     // pictures with the same first label
	of    int
}

func (d difference) String() string {
	return fmt.Sprintf("%.2g, same top-1 %d/%d", d.worst, d.same, d.of)
}

// apart compares; an answer that is no number is infinitely far off.
func apart(want, got answers) (difference, error) {
	d := difference{of: len(want)}
	largest := 0.0
	for file, w := range want {
		g := got[file]
		if len(g) != len(w) || len(w) == 0 {
			return d, fmt.Errorf("%s has %d logits on one provider, %d on the other", file, len(w), len(g))
		}
		for i := range w {
			largest = max(largest, math.Abs(w[i]))
			off := math.Abs(w[i] - g[i])
			if math.IsNaN(off) {
				off = math.Inf(1)
			}
			d.worst = max(d.worst, off)
		}
		if first(w) == first(g) {
			d.same++
		}
	}
	if largest > 0 {
		d.worst /= largest
	}
	return d, nil
}

func first(logits []float64) int {
	top := 0
	for i, v := range logits {
		if v > logits[top] {
			top = i
		}
	}
	return top
}

// tolerances are those of 'vggse-agent verify', in parts of the largest logit. Of INT8 both sides
// run the same file.
var tolerances = map[string]float64{"fp32": 5e-3, "fp16": 2e-2, "int8": 0.2}

// parity runs every precision of a bundle on a provider and on the CPU, the same file on both.
func (s *suite) parity(ctx context.Context, bundleDir, provider string) (string, error) {
	if err := s.absent[provider]; err != nil {
		return "", err
	}
	all, err := precisions(bundleDir, provider)
	if err != nil {
		return "", err
	}
	var found []string
	var wrong []error
	for _, precision := range all {
		d, err := s.against(ctx, bundleDir, provider, precision)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("%s: %w", precision, err))
		case d.worst > tolerances[precision]:
			wrong = append(wrong, fmt.Errorf("%s: %v, more than %g of the largest logit apart", precision, d,
				tolerances[precision]))
		default:
			found = append(found, fmt.Sprintf("%s %v", precision, d))
		}
	}
	sentence := "off by, in parts of the largest logit: " + strings.Join(found, "; ")
	if len(wrong) > 0 {
		return "", fmt.Errorf("%w (right: %s)", errors.Join(wrong...), strings.Join(found, "; "))
	}
	return sentence, nil
}

func (s *suite) against(ctx context.Context, bundleDir, provider, precision string) (difference, error) {
	reference, as := bundleDir, precision
	if precision == "int8" { // the CPU has a file of its own: here it gets the GPU's
		var err error
		if reference, err = s.asFP32(bundleDir, bundle.FileINT8TRT); err != nil {
			return difference{}, err
		}
		as = "fp32"
	}
	want, err := s.agent.classify(ctx, reference, "cpu", as, s.pictures)
	if err != nil {
		return difference{}, err
	}
	got, err := s.agent.classify(ctx, bundleDir, provider, precision, s.pictures)
	if err != nil {
		return difference{}, err
	}
	return apart(want, got)
}
