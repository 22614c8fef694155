package quant

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
)

// The decisions of Calibrate, without a file or a network.

// levelsOf are the two kinds of codes that a plan is made for, in the order of the report.
var levelsOf = []int{LevelsU8, LevelsS8}

// finalists are how many methods are tried again with equalized channels.
const finalists = 2

// methodsToTry are those of a wish: for auto the lowest error of each tensor, and each single
// method, as a tensor's lowest error is not always the network's.
func methodsToTry(wish Method) []Method {
	if wish == Auto {
		return append([]Method{Auto}, Methods...)
	}
	return []Method{wish}
}

// triedPlan is a plan and how it did.
type triedPlan struct {
	Trial
	plan *Plan
}

// tryMethods makes the plan of each method and tries it, one that is that of a method before it not
// again. The best comes first: the one with the highest SQNR, of equal ones the first method.
func tryMethods(methods []Method, plan func(Method) (*Plan, error), try func(*Plan) (Trial, error)) ([]triedPlan,
	error) {
	var all []triedPlan
	for _, m := range methods {
		p, err := plan(m)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(all, func(t triedPlan) bool { return t.plan.same(p) }); i >= 0 {
			t := all[i].Trial
			t.Method = m
			all = append(all, triedPlan{t, p})
			continue
		}
		t, err := try(p)
		if err != nil {
			return nil, err
		}
		all = append(all, triedPlan{t, p})
	}
	slices.SortStableFunc(all, func(a, b triedPlan) int { return cmp.Compare(b.SQNR, a.SQNR) })
	return all, nil
}

// leaders are the methods that are worth trying again.
func leaders(tried []triedPlan) []Method {
	var methods []Method
	for _, t := range tried[:min(len(tried), finalists)] {
		methods = append(methods, t.Method)
	}
	return methods
}

// keepEqualized tells whether both kinds of codes together gain SQNR with equalized channels; both
// are by levels.
func keepEqualized(before, after map[int]float64) bool {
	gain := 0.0
	for _, levels := range levelsOf {
		gain += after[levels] - before[levels]
	}
	return gain > 0
}

// keepCorrected tells whether corrected biases are kept, by the SQNR without and with them.
func keepCorrected(before, after float64) bool { return after > before }

// searchBudget is what a search for layers to demote has to hold, and whether there is one at all:
// budget is what the user says, else the least agreement of the gate counts.
func searchBudget(budget string, minAgreement float64) (Budget, bool, error) {
	switch budget {
	case "none":
		return Budget{}, false, nil
	case "":
		return Budget{Agreement: minAgreement}, minAgreement > 0, nil
	}
	b, err := ParseBudget(budget)
	return b, err == nil, err
}

// gateBudget says what a search missed: the budget that the user named; "": nothing. One that only
// follows from the least agreement is the gate's.
func gateBudget(key, budget string, s Searched) string {
	if s.Held || budget == "" {
		return ""
	}
	best := slices.MaxFunc(s.Steps, func(a, b Step) int { return cmp.Compare(a.SQNR, b.SQNR) })
	return fmt.Sprintf("%s cannot hold the budget %s: the best of %d plans has %.1f dB", key, budget, len(s.Steps),
		best.SQNR)
}

// gateFiles says what was missed, and what so few pictures cannot tell: a file is refused only
// where its agreement is surely below the least, its 95 % interval with it.
func gateFiles(files []FileReport, minAgreement float64) (missed []string, open []dataset.Finding) {
	for _, f := range files {
		v := f.Verdict
		evidence := fmt.Sprintf("%s agrees with FP32 on %.2f %% of %d pictures (%.2f to %.2f %%), %.2f %% are wanted",
			f.Path,
			100*v.Agreement.Value, v.Images, 100*v.Agreement.Low, 100*v.Agreement.High, 100*minAgreement)
		switch {
		case v.Agreement.High < minAgreement:
			missed = append(missed, evidence)
		case v.Agreement.Value < minAgreement:
			open = append(open, dataset.Finding{Check: "agreement", Severity: "warn",
				Evidence: evidence + ": so few cannot tell", Cure: "judge on more pictures: --eval"})
		}
	}
	return missed, open
}

// gateSpeed says what the CPU file missed: operators that are no integer ones, or a run that is
// proven to be slower than FP32's. What the measurement leaves open is a finding. l is nil where
// nothing was measured.
func gateSpeed(p *Proof, l *eval.Latency) (missed []string, open []dataset.Finding) {
	if !p.Fused() {
		missed = append(missed, fmt.Sprintf(
			"only %d of %d convolutions and %d of %d fully connected layers run on integers",
			p.Convolutions, p.WantConv, p.Dense, p.WantDense))
	}
	if l == nil || l.Faster() {
		return missed, nil
	}
	evidence := fmt.Sprintf("INT8 takes %.2f ms, FP32 %.2f ms", l.Here, l.FP32)
	if l.Slower() {
		return append(missed, evidence+": it is not optimized"), nil
	}
	return missed, []dataset.Finding{{Check: "speed", Severity: "warn",
		Evidence: fmt.Sprintf("%s: %.2f to %.2f times as fast, so this machine cannot tell now", evidence,
			l.SpeedupLow, l.SpeedupHigh),
		Cure: "measure on a quiet machine, or for longer: --seconds"}}
}
