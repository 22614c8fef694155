package quant

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/eval"
)

// Auto tries itself and every single method; any other wish is tried alone.
func TestMethodsToTry(t *testing.T) {
	for wish, want := range map[Method][]Method{
		Auto:    {Auto, MinMax, Percentile, Entropy, MSE},
		MinMax:  {MinMax},
		Entropy: {Entropy},
		MSE:     {MSE},
	} {
		if got := methodsToTry(wish); !slices.Equal(got, want) {
			t.Errorf("%s: tries %v, want %v", wish, got, want)
		}
	}
}

// The method with the highest SQNR wins, of equals the one that was tried first, and the two best
// are tried again.
func TestTryMethods(t *testing.T) {
	for _, tt := range []struct {
		name    string
		methods []Method
		sqnr    map[Method]float64
		want    []Method
		again   []Method
	}{
		{"the last is best", []Method{MinMax, MSE}, map[Method]float64{MinMax: 20, MSE: 30}, []Method{MSE, MinMax},
			[]Method{MSE, MinMax}},
		{"equals keep their order", []Method{Auto, MinMax, Percentile}, map[Method]float64{Auto: 25, MinMax: 25,
			Percentile: 25}, []Method{Auto, MinMax, Percentile}, []Method{Auto, MinMax}},
		{"two equals behind a winner", []Method{Auto, MinMax, Entropy}, map[Method]float64{Auto: 20, MinMax: 20,
			Entropy: 21}, []Method{Entropy, Auto, MinMax}, []Method{Entropy, Auto}},
		{"one alone", []Method{Entropy}, map[Method]float64{Entropy: -3}, []Method{Entropy}, []Method{Entropy}},
		{"none", nil, nil, nil, nil},
	} {
		tried, err := tryMethods(tt.methods, func(m Method) (*Plan, error) {
			return &Plan{Method: m, Choices: []Choice{{Threshold: 1 + float64(slices.Index(tt.methods, m))}}}, nil
		},
			func(p *Plan) (Trial, error) { return Trial{Method: p.Method, SQNR: tt.sqnr[p.Method]}, nil })
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var got []Method
		for _, one := range tried {
			got = append(got, one.plan.Method)
			if one.Method != one.plan.Method {
				t.Errorf("%s: the trial of %s stands beside the plan of %s", tt.name, one.Method, one.plan.Method)
			}
		}
		if again := leaders(tried); !slices.Equal(got, tt.want) || !slices.Equal(again, tt.again) {
			t.Errorf("%s: %v, again %v; want %v, again %v", tt.name, got, again, tt.want, tt.again)
		}
	}
}

// A plan that makes the file of one before it is not tried again, and does as well.
func TestTryMethodsOnce(t *testing.T) {
	calls := 0
	tried, err := tryMethods([]Method{Auto, MinMax, MSE}, func(m Method) (*Plan, error) {
		of := map[Method]float64{MinMax: 2}[m] // auto and mse are one
		return &Plan{Method: m, Choices: []Choice{{Threshold: of, Low: -of}}}, nil
	}, func(p *Plan) (Trial, error) {
		calls++
		return Trial{Method: p.Method, SQNR: 30 - p.Choices[0].Threshold}, nil
	})
	if err != nil || calls != 2 || len(tried) != 3 || tried[1].Method != MSE || tried[1].SQNR != 30 ||
		tried[1].plan.Method != MSE {
		t.Errorf("%d trials, %+v, %v", calls, tried, err)
	}
}

// A method that cannot be planned or tried ends the choice: nothing is tried after it.
func TestTryMethodsEnds(t *testing.T) {
	broken := errors.New("no memory")
	for _, fails := range []string{"plan", "try"} {
		calls := 0
		fail := func(where string) error {
			if where == fails {
				return broken
			}
			return nil
		}
		_, err := tryMethods(Methods, func(m Method) (*Plan, error) { calls++; return &Plan{Method: m}, fail("plan") },
			func(*Plan) (Trial, error) { return Trial{}, fail("try") })
		if !errors.Is(err, broken) || calls != 1 {
			t.Errorf("%s fails: %v after %d methods", fails, err, calls)
		}
	}
}

// Equalized channels are kept where both kinds of codes together gain, corrected biases where their
// own kind does.
func TestKeep(t *testing.T) {
	for _, tt := range []struct {
		beforeU8, afterU8, beforeS8, afterS8 float64
		want                                 bool
	}{
		{30, 31, 28, 29, true},
		{30, 33, 28, 26, true},  // one loses less than the other gains
		{30, 31, 28, 26, false}, // one loses more
		{30, 30, 28, 28, false}, // nothing gained is nothing kept
		{30, 29, 28, 27, false},
	} {
		before := map[int]float64{LevelsU8: tt.beforeU8, LevelsS8: tt.beforeS8}
		after := map[int]float64{LevelsU8: tt.afterU8, LevelsS8: tt.afterS8}
		if got := keepEqualized(before, after); got != tt.want {
			t.Errorf("equalized: %v to %v: kept %v", before, after, got)
		}
	}
	for _, tt := range []struct {
		before, after float64
		want          bool
	}{{30, 30.01, true}, {30, 30, false}, {30, 29, false}, {-5, -4, true}} {
		if got := keepCorrected(tt.before, tt.after); got != tt.want {
			t.Errorf("corrected: %g to %g dB: kept %v", tt.before, tt.after, got)
		}
	}
}

// There is a search where a budget or a least agreement asks for one.
func TestSearchBudget(t *testing.T) {
	for _, tt := range []struct {
		budget string
		least  float64
		want   Budget
		search bool
		wrong  bool
	}{
		{"", 0.99, Budget{Agreement: 0.99}, true, false},
		{"", 0, Budget{}, false, false},
		{"none", 0.99, Budget{}, false, false},
		{"30dB", 0, Budget{SQNR: 30}, true, false},
		{"25dB", 0.99, Budget{SQNR: 25}, true, false}, // what the user says counts, not the gate
		{"50pt", 0.99, Budget{Loss: 0.5}, true, false},
		{"30", 0.99, Budget{}, false, true},
		{"0dB", 0.99, Budget{}, false, true},
		{"None", 0, Budget{}, false, true},
	} {
		got, search, err := searchBudget(tt.budget, tt.least)
		if got != tt.want || search != tt.search || (err != nil) != tt.wrong {
			t.Errorf("%q with %g: %+v, search %v, %v; want %+v, %v", tt.budget, tt.least, got, search, err, tt.want,
				tt.search)
		}
	}
}

// A file is refused where its agreement is surely below the least; where so few pictures cannot
// tell, that is a finding.
func TestGateFiles(t *testing.T) {
	for _, tt := range []struct {
		name     string
		same, of int
		least    float64
		missed   bool
		open     bool
	}{
		{"all the same", 500, 500, 0.99, false, false},
		{"exactly the least", 990, 1000, 0.99, false, false},
		{"one below it", 989, 1000, 0.99, false, true},
		{"surely below", 900, 1000, 0.99, true, false},
		{"one of twenty", 19, 20, 0.99, false, true},
		{"none of ten", 0, 10, 0.99, true, false},
		{"no gate", 0, 10, 0, false, false},
	} {
		files := []FileReport{{Path: "good.onnx", Verdict: &eval.Verdict{Agreement: eval.NewShare(1000, 1000)}},
			{Path: "int8.cpu.onnx", Verdict: &eval.Verdict{Images: tt.of, Agreement: eval.NewShare(tt.same, tt.of)}}}
		missed, open := gateFiles(files, tt.least)
		if (len(missed) == 1) != tt.missed || (len(open) == 1) != tt.open || len(missed)+len(open) > 1 {
			t.Errorf("%s: missed %v, open %v", tt.name, missed, open)
		}
		for _, f := range open {
			missed = append(missed, f.Evidence)
			if f.Severity != "warn" || !strings.Contains(f.Cure, "--eval") {
				t.Errorf("%s: %+v has no cure", tt.name, f)
			}
		}
		for _, evidence := range missed {
			if !strings.Contains(evidence, "int8.cpu.onnx") || strings.Contains(evidence, "good.onnx") {
				t.Errorf("%s: %s does not name the file", tt.name, evidence)
			}
		}
	}
}

// A budget that the user named and no plan holds is missed; one that follows from the gate is the
// gate's business.
func TestGateBudget(t *testing.T) {
	steps := []Step{{SQNR: 20}, {SQNR: 31.25}, {SQNR: 25}}
	for _, tt := range []struct {
		budget string
		held   bool
		want   string
	}{
		{"40dB", false, "int8.cpu cannot hold the budget 40dB: the best of 3 plans has 31.2 dB"},
		{"30dB", true, ""},
		{"", false, ""},
	} {
		if got := gateBudget("int8.cpu", tt.budget, Searched{Steps: steps, Held: tt.held}); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.budget, got, tt.want)
		}
	}
}
