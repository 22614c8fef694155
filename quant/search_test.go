package quant

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/eval"
)

// searchNetwork has layers whose noise is known: what a search has to find out.
func searchNetwork(noise []float64) (*Graph, func(context.Context, *Plan) (Trial, error)) {
	n := &Graph{}
	for i := range noise {
		op := "Conv"
		if i >= len(noise)-2 {
			op = "Gemm"
		}
		n.Layers = append(n.Layers, Layer{Name: fmt.Sprint("layer", i), Op: op})
	}
	return n, func(_ context.Context, p *Plan) (Trial, error) {
		sum := 1e-9
		for i, v := range noise {
			if !slices.Contains(p.Float, n.Layers[i].Name) {
				sum += v
			}
		}
		return Trial{SQNR: -10 * math.Log10(sum), Same: eval.Share{Value: 1 - sum}}, nil
	}
}

func TestSearch(t *testing.T) {
	noise := slices.Repeat([]float64{1e-6}, 20)
	noise[3], noise[12], noise[19] = 1e-3, 5e-4, 2e-3
	deep := slices.Repeat([]float64{1e-6}, 90) // more than can be tried one by one
	deep[41], deep[70], deep[71] = 1e-3, 5e-4, 6e-4
	even := slices.Repeat([]float64{1e-4}, 60)
	tests := []struct {
		name   string
		noise  []float64
		budget Budget
		held   bool
		want   []string
	}{
		{"within it", noise, Budget{SQNR: 20}, true, []string{}},
		{"the worst", noise, Budget{SQNR: 28}, true, []string{"layer19"}},
		{"two of three", noise[:18], Budget{SQNR: 40}, true, []string{"layer3", "layer12"}},
		{"agreement", noise[:18], Budget{Agreement: 0.999}, true, []string{"layer3"}},
		{"deep", deep, Budget{SQNR: 38}, true, []string{"layer41", "layer71", "layer70"}},
		{"deep, agreement", deep, Budget{Agreement: 0.9988}, true, []string{"layer41"}},
		{"all alike", even[:30], Budget{SQNR: 25.3}, true, []string{"layer0"}},
		{"out of reach", noise, Budget{SQNR: 200}, false, []string{}},
	}
	for _, tt := range tests {
		n, evaluate := searchNetwork(tt.noise)
		calls := 0
		start := &Plan{Levels: LevelsU8}
		p, s, err := Search(context.Background(), n, start, tt.budget, nil,
			func(ctx context.Context, p *Plan, _ *Budget) (Trial, error) {
				calls++
				return evaluate(ctx, p)
			})
		if err != nil || s.Held != tt.held || !slices.Equal(s.Changes, tt.want) || calls != len(s.Steps) ||
			calls > MaxEvaluations {
			t.Errorf("%s: held %v by %v after %d evaluations, %v; want %v by %v", tt.name, s.Held, s.Changes, calls,
				err, tt.held, tt.want)
		}
		if trial, _ := evaluate(context.Background(), p); tt.held && !tt.budget.Holds(trial) || len(start.Float) != 0 {
			t.Errorf("%s: the plan %v does not hold the budget, or the first plan was changed", tt.name, p.Float)
		}
	}
}

// A search that is told the order tries nothing alone, and finds the same; where the order lacks a
// layer, it finds one by itself.
func TestSearchInOrder(t *testing.T) {
	noise := []float64{1e-6, 1e-3, 1e-6, 5e-4, 1e-6}
	n, evaluate := searchNetwork(noise)
	for _, tt := range []struct {
		order []string
		alone int
	}{
		{nil, 5}, {[]string{"layer1", "layer3", "layer0", "sums", "layer2", "layer4"}, 0}, {[]string{"layer1"}, 5},
	} {
		_, s, err := Search(context.Background(), n, &Plan{Levels: LevelsU8}, Budget{SQNR: 40}, tt.order,
			func(ctx context.Context, p *Plan, _ *Budget) (Trial, error) { return evaluate(ctx, p) })
		alone := 0
		for _, step := range s.Steps {
			if step.What == "alone" {
				alone++
			}
		}
		if want := []string{"layer1", "layer3"}; err != nil || !s.Held || !slices.Equal(s.Changes, want) ||
			alone != tt.alone || !slices.Equal(s.Order[:2], want) || len(s.Order) != len(noise) {
			t.Errorf("%v: %+v, %v", tt.order, s, err)
		}
	}
}

// A file is given up only where no answers to the rest of the pictures could hold the budget, and where
// all pictures were seen exactly if it does not hold.
func TestLostIsNeverHeld(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	gaveUp, held := 0, 0
	for range 4000 {
		n := 1 + r.IntN(40)
		b := []Budget{{Agreement: 0.9 + r.Float64()/10}, {Loss: r.Float64() / 10},
			{SQNR: 5 + 10*r.Float64()}}[r.IntN(3)]
		labelled, flips := r.IntN(3) > 0, r.Float64()/5
		var all stake
		type outcome struct{ same, before, after bool }
		rows := make([]outcome, n)
		noise := make([]float64, n)
		for i := range rows {
			rows[i] = outcome{r.Float64() > flips, r.Float64() < 0.8, r.Float64() < 0.8}
			noise[i] = r.Float64()
			all.pictures, all.signal = all.pictures+1, all.signal+5
			if labelled {
				all.labelled++
				if rows[i].before {
					all.right++
				}
			}
		}
		verdict := func(k int) eval.Verdict {
			same, before, after, sum := 0, 0, 0, 0.0
			for i, o := range rows[:k] {
				for _, c := range []struct {
					is bool
					n  *int
				}{{o.same, &same}, {o.before, &before}, {o.after, &after}} {
					if c.is {
						*c.n++
					}
				}
				sum += noise[i]
			}
			v := eval.Verdict{Images: k, Agreement: eval.NewShare(same, k), Noise: sum,
				SQNR: eval.SQNR(5*float64(k), sum)}
			if labelled {
				x, y := eval.NewShare(after, k), eval.NewShare(before, k)
				v.Top1, v.Top1FP32 = &x, &y
			}
			return v
		}
		whole := verdict(n)
		holds := b.Holds(trialOf(&whole))
		if holds {
			held++
		}
		for k := 1; k <= n; k++ {
			v := verdict(k)
			lost := b.lost(&v, &all)
			if lost && (holds || b.Holds(trialOf(&v))) || k == n && lost == holds {
				t.Fatalf("%+v, %d of %d: lost %v, holds in the end %v, so far %+v", b, k, n, lost, holds, v)
			}
			if lost && k < n {
				gaveUp++
			}
		}
	}
	if gaveUp < 100 || held < 100 {
		t.Errorf("given up early %d times, held %d times: nothing was tried", gaveUp, held)
	}
}

func TestParseBudget(t *testing.T) {
	for text, want := range map[string]Budget{"0.1pt": {Loss: 0.001}, "30dB": {SQNR: 30}, "": {}, "30": {}, "-1pt": {},
		"xdB": {}} {
		if got, err := ParseBudget(text); math.Abs(got.Loss-want.Loss) > 1e-12 || got.SQNR != want.SQNR ||
			(err == nil) != (want != Budget{}) {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}
