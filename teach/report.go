package teach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/round"
)

// ReportSchema names the layout of report.json.
const ReportSchema = "vggse.teaching/1"

// Report is what teaching found out. Everything that is measured is measured on pictures that the
// head that answered had not seen: the pictures are divided into Folds parts, and each part is
// answered by a head fitted to the others.
type Report struct {
	Schema    string   `json:"schema"`
	Tool      string   `json:"tool"`
	Bundle    string   `json:"bundle"` // name and version of the parent
	Parent    string   `json:"parent"` // digest
	Precision string   `json:"precision"`
	Provider  string   `json:"provider"`
	Labels    []string `json:"labels"`
	Added     []string `json:"added"` // labels that the parent does not have
	// labels without pictures, fitted to stored features
	Recalled []string `json:"recalled"`

	Method      string  `json:"method"`       // MethodRegression or MethodMeans
	Lambda      float64 `json:"lambda"`       // strength of regularisation, 0 for means
	MayLose     float64 `json:"old_may_lose"` // share of the old labels' pictures
	Caution     float64 `json:"caution"`      // taken from the logits of new labels for that
	Temperature float64 `json:"temperature"`  // that logits are divided by
	Folds       int     `json:"folds"`
	Pictures    int     `json:"pictures"` // that count
	Copies      int     `json:"copies"`   // pictures that show the same as another one, and do not count
	// stored features of labels that have pictures, too: they say what of these labels is lost
	Witnesses int `json:"witnesses"`
	Groups    int `json:"groups"`   // moments; pictures of one are never on both sides of a split
	Width     int `json:"features"` // of a picture

	Verdict string           `json:"verdict"`  // better, not better or cannot tell, in one sentence
	After   *eval.Evaluation `json:"after"`    // with Against: before
	Old     *eval.Comparison `json:"old"`      // after against before, on pictures of labels that the parent has
	Lost    *Lost            `json:"old_lost"` // nil: no picture of an old label
	Curve   []Point          `json:"learning_curve"`
	Doubted []eval.Mistake   `json:"doubted"` // pictures that look as if they had the wrong label
	Same    []Same           `json:"same"`    // of Copies the first

	Unknown *Unknown `json:"unknown"` // nil: too few pictures or labels to tell

	Missed   []string          `json:"missed"` // gates: what is proven to be worse
	Findings []dataset.Finding `json:"findings"`
	Forward  float64           `json:"forward_seconds"` // classifying the pictures
	Fit      float64           `json:"fit_seconds"`     // everything else
}

// Lost is which share of the old labels' pictures was answered rightly before and is not now, less the other way
// round, with its 95 % interval.
type Lost struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Of    int     `json:"of"` // pictures
}

// Same is a picture that shows the same as another one of its label.
type Same struct {
	File string `json:"file"`
	Like string `json:"like"`
}

// Point is how good a head is that is fitted to a share of the pictures.
type Point struct {
	Share    float64    `json:"share"`
	Pictures int        `json:"pictures"` // of all that are held out in turn
	Top1     eval.Share `json:"top1"`
}

// Limits of the gates and findings.
const (
	lostPoints   = 0.01 // of the old labels' pictures may be lost
	newRecall    = 0.90 // of a new label's pictures are to be found
	doubtedScore = 0.9  // of another label, from which a label is doubted
	doubtedOwn   = 0.05 // of the own label, below which it is
	mostDoubted  = 24
	mostSame     = 12
	fewOfClass   = 20
	unevenTimes  = 10 // the largest class has so many times the pictures of the smallest
	z95          = 1.959963984540054
)

func (r *Report) find(check, evidence, cure string) {
	r.Findings = append(r.Findings, dataset.Finding{Check: check, Severity: "warn", Evidence: evidence, Cure: cure})
}

func (r *Report) about(parent *bundle.Bundle, n *infer.Network, tool string) {
	r.Schema, r.Tool = ReportSchema, tool
	r.Bundle = strings.TrimSpace(parent.Spec.Name + " " + parent.Spec.Version)
	r.Parent, _ = bundle.Digest(parent.Dir) // it was just opened
	info := n.Info()
	r.Precision, r.Provider = info.Precision, info.Provider
}

// count counts the pictures and says what is wrong with their numbers. It returns a label without
// any, "" where each has some.
func (r *Report) count(examples []example) string {
	count := make([]int, len(r.Labels))
	unreadable := 0
	var first error
	for i := range examples {
		switch e := &examples[i]; {
		case e.err != nil:
			unreadable++
			first = cmp.Or(first, e.err)
		case e.witness:
			r.Witnesses++
		case e.copy:
			r.Copies++
		default:
			r.Pictures++
			count[e.class]++
		}
	}
	if unreadable > 0 {
		r.find("unreadable", fmt.Sprintf("%s left out: %v",
			round.Count(unreadable, "picture was", "pictures were"), first),
			"copy such pictures again, or remove them")
	}
	if r.Copies > 0 {
		r.find("copies", fmt.Sprintf("pictures that show the same as another one of their label count once; such "+
			"copies: %d", r.Copies),
			"take pictures at different times")
	}
	var few []string
	for c, n := range count {
		if n == 0 {
			return r.Labels[c]
		}
		if n < fewOfClass {
			few = append(few, fmt.Sprintf("%s (%d)", r.Labels[c], n))
		}
	}
	if len(few) > 0 {
		r.find("few", fmt.Sprintf("fewer than %d pictures that count: %s", fewOfClass, strings.Join(few, ", ")),
			"give more of these first: so few neither fit well nor tell how well")
	}
	if least, most := slices.Min(count), slices.Max(count); most > unevenTimes*least {
		r.find("uneven", fmt.Sprintf("the largest label has %s, the smallest %d", round.Pictures(most), least),
			"give more of the small ones; every label weighs the same already")
	}
	return ""
}

// learningCurve measures heads that are fitted to a part of the pictures.
func (r *Report) learningCurve(ctx context.Context, l *learner, c *chosen) error {
	for _, share := range []float64{0.25, 0.5, 0.75, 1} {
		answers := c.logits
		if share < 1 {
			var err error
			if answers, err = l.heldOut(ctx, share, c.way, slices.Clone(c.layers)); err != nil {
				return err
			}
			c.settle(answers, l.head.Classes())
		}
		right, n := 0, 0
		for i, row := range answers {
			if row != nil && l.examples[i].counts() {
				n++
				if row[l.examples[i].class] == slices.Max(row) {
					right++
				}
			}
		}
		r.Curve = append(r.Curve, Point{share, int(math.Round(share * float64(n))), eval.NewShare(right, n)})
	}
	return nil
}

// judge evaluates held-out answers beside those of before.
func (r *Report) judge(pictures []dataset.Picture, examples []example, before []eval.Answer, c *chosen,
	oldLabels []string) {
	r.Findings = append(r.Findings, labelOrder(before, oldLabels)...)
	var after, was, oldAfter, oldWas []eval.Answer
	for i, row := range c.logits {
		if row == nil || !examples[i].counts() {
			continue
		}
		p := pictures[examples[i].picture]
		a := eval.NewAnswer(p, row)
		after, was = append(after, a), append(was, before[i])
		if slices.Contains(oldLabels, r.Labels[p.Label]) {
			oldAfter, oldWas = append(oldAfter, a), append(oldWas, before[i])
		}
		if a.Top >= 0 && a.Top != p.Label && a.Score > doubtedScore && a.Own < doubtedOwn {
			r.Doubted = append(r.Doubted, eval.Mistake{File: p.Path, Label: r.Labels[p.Label], Answer: r.Labels[a.Top],
				Score: a.Score, Own: a.Own})
		}
	}
	slices.SortFunc(r.Doubted, func(a, b eval.Mistake) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.File, b.File))
	})
	r.Doubted = r.Doubted[:min(len(r.Doubted), mostDoubted)]
	r.After = eval.NewEvaluation(r.Labels, after)
	r.After.Tool, r.After.Bundle, r.After.Precision, r.After.Provider = r.Tool, r.Bundle, r.Precision, r.Provider
	r.After.Against = eval.Compare(r.Labels, after, oldLabels, was)
	r.After.Against.Bundle = r.Bundle
	r.Old = eval.Compare(r.Labels, oldAfter, oldLabels, oldWas)
	r.Old.Bundle = r.Bundle
	if n := len(oldAfter); n > 0 {
		lost, least := lostOf(r.Old, n)
		r.Lost = &Lost{Value: lost, Low: least, High: 2*lost - least, Of: n}
	}
	for i := range examples {
		if e := &examples[i]; e.copy && len(r.Same) < mostSame {
			r.Same = append(r.Same, Same{pictures[e.picture].Path, pictures[examples[e.like].picture].Path})
		}
	}
	r.Missed = r.gates(len(oldAfter))
	r.Verdict = r.verdict(len(after))
}

// labelOrder says where the answers of the network that was show that its labels stand in another
// order than the folders.
func labelOrder(before []eval.Answer, labels []string) []dataset.Finding {
	var guesses []dataset.Summary
	for i := range before {
		if a := &before[i]; a.Err == nil {
			guesses = append(guesses, dataset.Summary{Class: a.Picture.Label, Guess: a.Top})
		}
	}
	return dataset.LabelOrder(guesses, labels)
}

// gates are what is proven to be worse than it may be; what is not proven passes.
func (r *Report) gates(old int) []string {
	missed := []string{}
	if lost, least := lostOf(r.Old, old); least > max(lostPoints, r.MayLose) {
		missed = append(missed,
			fmt.Sprintf("old labels: %.2f points of %s are lost, at least %.2f, %.3g may be",
				100*lost, round.Pictures(old), 100*least, 100*max(lostPoints, r.MayLose)))
	}
	for _, c := range r.After.Classes {
		if slices.Contains(r.Added, c.Label) && c.Recall.High < newRecall {
			missed = append(missed,
				fmt.Sprintf("%s: %.0f %% of its %s are found, at most %.0f, %.0f are wanted",
					c.Label, 100*c.Recall.Value, round.Pictures(c.Recall.Of), 100*c.Recall.High, 100*newRecall))
		}
	}
	if u := r.Unknown; u != nil && u.High < -unknownLost {
		missed = append(missed, fmt.Sprintf("pictures of none of the labels: they are told from known ones in %.1f %% "+
			"of pairs, before in %.1f %%; at least %.1f points are lost, %.0f may be", 100*u.After, 100*u.Before,
			-100*u.High, 100*unknownLost))
	}
	return missed
}

// lostOf is the share of n pictures that was right before and is wrong now, less the other way
// round, and the lower end of its 95 % interval.
func lostOf(c *eval.Comparison, n int) (lost, least float64) {
	if n == 0 {
		return 0, 0
	}
	m := float64(n)
	lost = float64(c.OnlyOther-c.OnlyThis) / m
	spread := math.Sqrt(max(0, float64(c.OnlyOther+c.OnlyThis)/m-lost*lost) / m)
	return lost, lost - z95*spread
}

// verdict is the one sentence that matters.
func (r *Report) verdict(n int) string {
	points := 100 * float64(r.After.Against.OnlyThis-r.After.Against.OnlyOther) / float64(max(1, n))
	measured := fmt.Sprintf("%.2f %% of %s are answered rightly, %+.2f points",
		100*r.After.Top1.Value, round.Count(n, "held-out picture", "held-out pictures"),
		points)
	switch {
	case len(r.Missed) > 0:
		return "not better: " + strings.Join(r.Missed, "; ")
	case r.After.Against.P < 0.05 && points > 0:
		return "better: " + measured
	case r.After.Against.P < 0.05:
		return "not better: " + measured
	}
	return fmt.Sprintf("cannot tell yet: %s, which chance gives in %.0f of 100 cases; about %d pictures would tell",
		measured, 100*r.After.Against.P, r.enough(n))
}

// enough is about how many pictures would prove a difference of this size, at least twice as many.
func (r *Report) enough(n int) int {
	a, b := float64(r.After.Against.OnlyThis), float64(r.After.Against.OnlyOther)
	want := 4 * n
	if a != b {
		want = int(math.Ceil(z95 * z95 * (a + b) / ((a - b) * (a - b)) * float64(n)))
	}
	return max(2*n, (want+9)/10*10)
}

// write puts report.json and report.html into the folder dir.
func (r *Report) write(dir string) error {
	return errors.Join(atomicfile.WriteJSON(filepath.Join(dir, "report.json"), r),
		atomicfile.WriteFile(filepath.Join(dir, "report.html"), func(w io.Writer) error { return WriteHTML(w, r) }))
}
