package eval

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vision"
)

// Latency is how long one run of each of two files takes, interleaved so that whatever else the
// machine does hits both alike. Speedup is the ratio of the medians, BestSpeedup of the shortest
// runs, which a busy machine disturbs least.
type Latency struct {
	FP32        float64 `json:"fp32_ms"`
	Here        float64 `json:"ms"`
	Speedup     float64 `json:"speedup"`
	BestSpeedup float64 `json:"best_speedup"`
	Runs        int     `json:"runs"`
}

// Slower tells whether the file is no faster than FP32, by medians and by shortest runs alike.
func (l *Latency) Slower() bool { return l.Speedup <= 1 && l.BestSpeedup <= 1 }

// Race runs a and b on x in turn, for the given time but at least ten times each, after two runs
// unmeasured.
func Race(ctx context.Context, a, b *infer.Probe, x *vision.Tensor, span time.Duration) (Latency, error) {
	var took [2][]float64
	ignore := func(int, []float32) {}
	begin := time.Now()
	for i := 0; i < 12 || time.Since(begin) < span && i < 10_000; i++ {
		for k, s := range []*infer.Probe{a, b} {
			start := time.Now()
			if err := s.Run(ctx, x, ignore); err != nil {
				return Latency{}, fmt.Errorf("eval: race: %w", err)
			}
			if i >= 2 {
				took[k] = append(took[k], time.Since(start).Seconds()*1e3)
			}
		}
	}
	l := Latency{FP32: median(took[0]), Here: median(took[1]), Runs: len(took[0])}
	l.Speedup = l.FP32 / l.Here
	l.BestSpeedup = slices.Min(took[0]) / slices.Min(took[1])
	return l, nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
