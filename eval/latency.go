package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vision"
)

// Latency is how long one run of each of two files takes, in interleaved pairs, so that whatever
// else the machine does hits both alike. Speedup is the ratio of the medians, BestSpeedup that of
// the shortest runs, which a busy machine disturbs least. SpeedupLow to SpeedupHigh is the 99 %
// interval of the median of the pairs' ratios: it is looked at up to maxRounds times, so that
// chance decides in at most 5 of 100 measurements.
type Latency struct {
	FP32        float64 `json:"fp32_ms"`
	Here        float64 `json:"ms"`
	Speedup     float64 `json:"speedup"`
	SpeedupLow  float64 `json:"speedup_low"`
	SpeedupHigh float64 `json:"speedup_high"`
	BestSpeedup float64 `json:"best_speedup"`
	Runs        int     `json:"runs"`
}

// Slower tells whether the file is proven to be slower than FP32, Faster whether it is proven to be
// faster. Where neither is, the measurement cannot tell.
func (l *Latency) Slower() bool { return l.SpeedupHigh < 1 }

// Faster is the other side of Slower.
func (l *Latency) Faster() bool { return l.SpeedupLow > 1 }

const (
	warmPairs  = 2      // not counted
	leastPairs = 10     // of a round
	mostPairs  = 10_000 // of all rounds
	maxRounds  = 5
	sureEvery  = 50   // pairs, after which it is looked whether the interval is narrow
	sureWidth  = 0.02 // of the speed-up
)

// Race runs a (FP32) and b on x in turn: for span but at least leastPairs times each, and while
// neither is proven to be faster for further rounds of span, up to maxRounds. Where one is, and by how
// much is known to a fiftieth, it ends sooner.
func Race(ctx context.Context, a, b *infer.Probe, x *vision.Tensor, span time.Duration) (Latency, error) {
	begin := time.Now()
	l, err := race(func(second bool) (time.Duration, error) {
		s := a
		if second {
			s = b
		}
		start := time.Now()
		err := s.Run(ctx, x, func(int, []float32) {})
		return time.Since(start), err
	}, func(round int) bool { return time.Since(begin) < time.Duration(round)*span })
	if err != nil {
		return Latency{}, fmt.Errorf("eval: race: %w", err)
	}
	return l, nil
}

// race runs rounds of pairs until the interval does not hold 1, or there were maxRounds. A round
// goes on while lasts says so. The order of the two changes from pair to pair.
func race(run func(second bool) (time.Duration, error), lasts func(round int) bool) (Latency, error) {
	var took [2][]float64
	var ratios []float64
	warm := warmPairs
	for round := 1; ; round++ {
		for n := 0; n < leastPairs || lasts(round) && len(ratios) < mostPairs; {
			pair, err := runPair(run, (len(ratios)+warm)%2 == 1)
			if err != nil {
				return Latency{}, err
			}
			if warm > 0 {
				warm--
				continue
			}
			took[0], took[1] = append(took[0], pair[0]), append(took[1], pair[1])
			ratios = append(ratios, pair[0]/pair[1])
			if n++; len(ratios)%sureEvery == 0 && sure(ratios) {
				break
			}
		}
		low, high := medianInterval(ratios)
		if low > 1 || high < 1 || round == maxRounds || len(ratios) >= mostPairs {
			l := Latency{FP32: median(took[0]), Here: median(took[1]), SpeedupLow: low, SpeedupHigh: high,
				Runs: len(ratios)}
			l.Speedup = l.FP32 / l.Here
			l.BestSpeedup = slices.Min(took[0]) / slices.Min(took[1])
			return l, nil
		}
	}
}

// sure tells whether the ratios say who is faster, and narrowly by how much.
func sure(ratios []float64) bool {
	low, high := medianInterval(ratios)
	return (low > 1 || high < 1) && high-low < sureWidth*low
}

// runPair runs the first and the second, or the other way round, and returns their milliseconds.
func runPair(run func(second bool) (time.Duration, error), swapped bool) (ms [2]float64, err error) {
	for k := range 2 {
		second := (k == 1) != swapped
		d, err := run(second)
		if err != nil {
			return ms, err
		}
		if second {
			ms[1] = d.Seconds() * 1e3
		} else {
			ms[0] = d.Seconds() * 1e3
		}
	}
	return ms, nil
}

// medianInterval is the 99 % confidence interval of the median of v, whatever its distribution:
// between the order statistics whose ranks the binomial distribution gives (the sign test turned
// round; Conover, Practical Nonparametric Statistics, 3.2). With fewer than eight values it is all
// of them.
func medianInterval(v []float64) (low, high float64) {
	sorted := slices.Sorted(slices.Values(v))
	n := len(sorted)
	tail, rank := 0.0, 0 // P(fewer than rank+1 of n fair coins show heads)
	for k := 0; k < n/2; k++ {
		if tail += math.Exp(logChoose(n, k) - float64(n)*math.Ln2); tail > 0.005 {
			break
		}
		rank = k
	}
	return sorted[rank], sorted[n-1-rank]
}

// logChoose is the logarithm of the binomial coefficient.
func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }
