package roofline

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vision"
)

// Result is how fast a network runs alone, one line of the verb bench.
type Result struct {
	Provider  string  `json:"provider"`
	Precision string  `json:"precision"`
	Threads   int     `json:"threads"`
	Batch     int     `json:"batch"`
	P50       float64 `json:"p50_ms"`
	P90       float64 `json:"p90_ms"`
	P99       float64 `json:"p99_ms"`
	Images    float64 `json:"images_per_s"`
	RSS       int     `json:"rss_mb"`
	GMACs     float64 `json:"gmacs_per_s,omitempty"` // of a VGG16-SE; what a foreign network computes is not known
	Runs      int     `json:"runs"`
	Load      float64 `json:"load_ms"`
	Roofline
}

// Run runs a network alone on made-up pictures: for a fifth of length unmeasured, then for
// length.
func Run(ctx context.Context, n *infer.Network, batch int, length time.Duration) (*Result, error) {
	size := n.Bundle.Spec.Architecture.InputSize
	in, out := vision.NewTensor(batch, 3, size, size), make(vision.Logits, batch*len(n.Bundle.Spec.Labels))
	random := rand.New(rand.NewPCG(1, 1))
	for i := range in.Data {
		in.Data[i] = 2*random.Float32() - 1
	}
	if _, err := Measure(ctx, n.Engine, in, out, length/5); err != nil {
		return nil, err
	}
	took, err := Measure(ctx, n.Engine, in, out, length)
	if err != nil {
		return nil, err
	}
	return resultOf(took, n.Info(), batch), nil
}

func resultOf(took []time.Duration, info infer.Info, batch int) *Result {
	var sum time.Duration
	for _, d := range took {
		sum += d
	}
	slices.Sort(took)
	percentile := func(p int) float64 { return round.Milliseconds(took[(len(took)-1)*p/100]) }
	return &Result{
		Provider: info.Provider, Precision: info.Precision, Threads: info.Threads, Batch: batch,
		P50: percentile(50), P90: percentile(90), P99: percentile(99),
		Images: round.Three(float64(len(took)*batch) / sum.Seconds()), RSS: residentMB(),
		Runs: len(took), Load: round.Milliseconds(info.Load + info.WarmUp),
	}
}

// residentMB is the memory of this process that is in RAM, in MiB; 0 where /proc does not say.
func residentMB() int {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(value)[0])
			return kb >> 10
		}
	}
	return 0
}

// HoldAgainst measures the ceilings and holds the result against them; without them it says why on
// stderr.
func (l *Result) HoldAgainst(ctx context.Context, c infer.Config, file string, macs int64, length time.Duration,
	stderr io.Writer) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	c.Providers = []string{l.Provider}
	top, bytes, err := Ceilings(ctx, c, length)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		fmt.Fprintln(stderr, "no ceilings:", err)
	}
	l.Roofline = Under(macs, info.Size(), l.Batch, l.Images, top, bytes)
	return nil
}
