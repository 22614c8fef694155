package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// teachReport holds teach against the heads of others on the same features.
func (o *options) teachReport(ctx context.Context, r *report) error {
	t, err := o.teachInputs(ctx)
	if err != nil {
		return err
	}
	before := 100 * t.test.accuracy(t.old, old).Value
	r.section(fmt.Sprintf("A network of %d labels of the demo is taught the other %d: mean of %d draws, %d test "+
		"pictures", knownLabels, len(t.test.labels)-knownLabels, o.draws, len(t.test.class)))
	r.fact("before: old labels answered rightly, %", fmt.Sprintf("%.2f", before))
	for _, each := range teachSizes {
		if o.each > 0 && each != o.each {
			continue
		}
		m, err := t.measure(ctx, each, o.draws)
		if err != nil {
			return err
		}
		peers, err := o.peers(ctx, t, m.lessons)
		if err != nil {
			return err
		}
		r.teachSize(each, before, m, peers)
	}
	return nil
}

// goals are points that teach is wanted to be ahead of Frigate's recipe by, per size.
var goals = []float64{3, 2, 1, 0}

// teachSize is one size's part of the table.
func (r *report) teachSize(each int, before float64, m *sizeResult, peers []peerScores) {
	take := func(f func(p *peerScores) float64) []float64 {
		out := make([]float64, len(peers))
		for i := range peers {
			out[i] = f(&peers[i])
		}
		return out
	}
	frigate := take(func(p *peerScores) float64 { return p.Frigate.All })
	views := take(func(p *peerScores) float64 { return p.FrigateViews.All })
	scikit := take(func(p *peerScores) float64 { return p.Scikit.All })
	name := func(what string) string { return fmt.Sprintf("%d a label: %s", each, what) }
	free, kept, without := m.ours[0], m.ours[1], m.without[2]

	r.fact(name("teach, with 50 stored features of each old label, all 13 labels, %"),
		pm(free.all)+"; "+methodsOf(m.methods))
	r.fact(name("teach, of the pictures alone, %"), pm(m.alone.all))
	r.fact(name("Frigate's recipe on the same pictures, %"), pm(frigate))
	r.fact(name("Frigate's recipe on teach's views, %"), pm(views))
	ahead := minus(m.alone.all, frigate)
	goal := goals[slices.Index(teachSizes, each)]
	r.fact(name("teach with stored features − Frigate's recipe, points"), pm(minus(free.all, frigate)))
	r.row(name("teach − Frigate's recipe, points"), pm(ahead), fmt.Sprintf("≥ 0, goal %g", goal),
		verdict(mean(ahead) >= 0))
	r.fact(name("teach − Frigate's recipe on the views, points"), pm(minus(free.all, views)))
	apart := minus(m.plain.all, scikit[:len(m.plain.all)])
	r.atMost(name("teach's regression − scikit-learn's, points, the largest of a draw"), largest(apart), 0.2,
		fmt.Sprintf("%.3f", largest(apart)))
	coefficients := largest(take(func(p *peerScores) float64 { return p.Apart }))
	r.atMost(name("coefficients apart, the largest"), coefficients, 1e-3, fmt.Sprintf("%.1e", coefficients))
	lost := func(v []float64) []float64 { return minus(constant(before, len(v)), v) }
	r.fact(name("old labels lost by Frigate's recipe, points"),
		pm(lost(take(func(p *peerScores) float64 { return p.Frigate.Old }))))
	r.fact(name("old labels lost where that is not limited, points"), pm(lost(free.old)))
	r.atMost(name("old labels lost, with their pictures, 0.5 may be"), mean(lost(kept.old)), 0.5, pm(lost(kept.old)))
	r.atMost(name("old labels lost, without their pictures, 1 may be"), mean(lost(without.old)), 1,
		pm(lost(without.old)))
	r.fact(name("new labels found, not limited, 0.5 points, without old pictures 1 point, %"),
		pm(free.fresh)+", "+pm(kept.fresh)+", "+pm(without.fresh))
	r.fact(name("all 13 labels, 0.5 points, without old pictures 1 point, %"), pm(kept.all)+", "+pm(without.all))
	for i, s := range []scored{free, kept, without} {
		what := []string{"not limited", "0.5 points", "without old pictures"}[i]
		r.atMost(name("ECE, 15 bins, %, "+what), mean(s.ece), 3, pm(s.ece))
		r.fact(name("ECE at the temperature that the test's own pictures ask for, %, "+what), pm(s.leastECE))
	}
	r.atMost(name("seconds to fit three heads"), slices.Max(m.seconds), 10, spread(m.seconds))
}

// pm is a mean with half of its 95 % interval.
func pm(v []float64) string { return fmt.Sprintf("%.2f ± %.2f", mean(v), halfInterval(v)) }

func methodsOf(count map[string]int) string {
	var out []string
	for name, n := range count {
		out = append(out, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
