package eval

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/vision"
)

var abc = []string{"a", "b", "c"}

// said are n answers of a class to pictures of a label, with a score.
func said(n, label, top int, score float64) (all []Answer) {
	for i := range n {
		a := Answer{Picture: dataset.Picture{Path: fmt.Sprintf("%d/%d-%d.png", label, top, i), Label: label},
			Top: top, Score: score, Top5: top >= 0}
		if a.Own = (1 - score) / 2; top == label {
			a.Own = score
		}
		all = append(all, a)
	}
	return all
}

func joined(parts ...[]Answer) (all []Answer) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestEvaluation(t *testing.T) {
	answers := joined(said(8, 0, 0, 0.9), said(2, 0, 1, 0.6), said(5, 1, 1, 0.8), said(5, 2, 1, 0.95),
		said(3, -1, 2, 0.9), said(1, 2, -1, 0))
	e := NewEvaluation(abc, answers)
	if e.Images != 24 || e.Labelled != 21 || e.NaN != 1 || e.Top1.Hits != 13 || e.Top1.Of != 21 ||
		e.Top5.Hits != 20 {
		t.Errorf("%+v, top-1 %+v, top-5 %+v", e, e.Top1, e.Top5)
	}
	for i, want := range []ClassResult{
		{"a", NewShare(8, 10), NewShare(8, 8)}, {"b", NewShare(5, 5), NewShare(5, 12)},
		{"c", NewShare(0, 6), NewShare(0, 0)},
	} {
		if e.Classes[i] != want {
			t.Errorf("got %+v, want %+v", e.Classes[i], want)
		}
	}
	if len(e.Confusions) != 3 || e.Confusions[0].Labels != "c → b" || e.Confusions[0].Count != 5 ||
		e.Confusions[2].Labels != "c → no number" {
		t.Errorf("%+v", e.Confusions)
	}
	if len(e.Worst) != 8 || e.Worst[0].Label != "c" || e.Worst[0].Answer != "b" ||
		e.Worst[0].File != "2/1-0.png" ||
		e.Worst[7].Answer != "no number" {
		t.Errorf("%+v", e.Worst)
	}
}

// TestCalibration: by hand: 8 answers of 0.9 that are right, 2 of 0.6 that are not.
func TestCalibration(t *testing.T) {
	c := NewEvaluation(abc, joined(said(8, 0, 0, 0.9), said(2, 0, 1, 0.6))).Calibration
	if want := (8*0.1 + 2*0.6) / 10; math.Abs(c.ECE-want) > 1e-9 {
		t.Errorf("ECE %g, want %g", c.ECE, want)
	}
	if want := -(8*math.Log(0.9) + 2*math.Log(0.2)) / 10; math.Abs(c.NLL-want) > 1e-9 {
		t.Errorf("NLL %g, want %g", c.NLL, want)
	}
	if len(c.Bins) != 2 || c.Bins[0].Images != 2 || c.Bins[0].Right != 0 || c.Bins[1].Right != 1 ||
		!(c.Bins[1].From < 0.9 && 0.9 <= c.Bins[1].To) {
		t.Errorf("%+v", c.Bins)
	}
}

// TestUnreadable: a damaged picture is named and counted, and no answer.
func TestUnreadable(t *testing.T) {
	damaged := said(2, 0, -1, 0)
	for i := range damaged {
		damaged[i].Err = fmt.Errorf("picture %d is damaged", i)
	}
	answers := joined(damaged, said(4, 0, 0, 0.9))
	e := NewEvaluation(abc, answers)
	if e.Images != 4 || e.Unreadable != 2 || e.Top1.Of != 4 || e.NaN != 0 || len(e.Worst) != 0 {
		t.Errorf("%+v", e)
	}
	if len(e.Findings) != 1 || e.Findings[0].Evidence != "picture 0 is damaged" ||
		!strings.HasPrefix(e.Findings[0].Cure, "left out: 2;") {
		t.Errorf("%+v", e.Findings)
	}
	if c := Compare(abc, answers, abc, answers); c.Agreement.Of != 4 || c.Top1.Of != 4 {
		t.Errorf("%+v", c)
	}
}

func TestUnlabelled(t *testing.T) {
	e := NewEvaluation(abc, said(4, -1, 2, 0.9))
	if e.Top1 != nil || e.Calibration != nil || len(e.Classes) != 0 || e.Images != 4 {
		t.Errorf("%+v", e)
	}
}

// TestMcNemar: exact p of published small tables.
func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		a, b int
		want float64
	}{{0, 0, 1}, {5, 5, 1}, {1, 5, 0.21875}, {0, 6, 0.03125}, {10, 25, 0.016678}} {
		if got := mcnemar(c.a, c.b); math.Abs(got-c.want) > 1e-5 {
			t.Errorf("%d and %d: got %g, want %g", c.a, c.b, got, c.want)
		}
	}
}

// TestCompare: by name, also where the other network has its classes in another order.
func TestCompare(t *testing.T) {
	own := joined(said(40, 0, 0, 0.9), said(10, 1, 0, 0.6))
	for _, c := range []struct {
		name    string
		labels  []string
		other   []Answer
		same    int
		verdict string
	}{
		{"the same", abc, own, 50, "cannot tell: +0.00 points"},
		{"in another order", []string{"b", "a", "c"}, joined(said(40, 0, 1, 0.9), said(10, 1, 1, 0.9)), 50,
			"cannot tell"},
		{"worse", abc, joined(said(20, 0, 0, 0.9), said(20, 0, 1, 0.9), said(10, 1, 0, 0.6)), 30,
			"better: +40.00 points on 50"},
		{"better", abc, joined(said(40, 0, 0, 0.9), said(10, 1, 1, 0.6)), 40, "worse: -20.00 points on 50"},
		{"a class that this one does not have", []string{"a", "x"}, joined(said(40, 0, 0, 0.9), said(10, 1, 1, 0.6)),
			40, "cannot tell"},
	} {
		got := Compare(abc, own, c.labels, c.other)
		if got.Agreement.Hits != c.same || !strings.HasPrefix(got.Verdict, c.verdict) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if got := Compare(abc, said(4, -1, 2, 0.9), abc, said(4, -1, 1, 0.9)); got.Top1 != nil ||
		!strings.Contains(got.Verdict, "no picture is labelled") {
		t.Errorf("%+v", got)
	}
}

func TestNewAnswer(t *testing.T) {
	scores := make([]float32, 3)
	a := newAnswer(dataset.Picture{Label: 1}, 1, vision.Logits{0, float32(math.Log(2)), 0}, scores, "")
	if a.Top != 1 || math.Abs(a.Score-0.5) > 1e-6 || a.Own != a.Score || !a.Top5 {
		t.Errorf("%+v", a)
	}
	a = newAnswer(dataset.Picture{Label: 1}, 1, vision.Logits{float32(math.NaN()), 1, 2}, scores, "")
	if a.Top != -1 || a.Own != 0 {
		t.Errorf("no number: %+v", a)
	}
	a = newAnswer(dataset.Picture{Label: 1}, 1, vision.Logits{0, float32(math.Log(3)), 0}, scores,
		vision.ScoresSigmoid)
	if a.Top != 1 || math.Abs(a.Score-0.75) > 1e-6 {
		t.Errorf("each for itself: %+v", a)
	}
}

// Labels that are moved by one are found, and the right order is named.
func TestNewEvaluationFindsTheLabelsOrder(t *testing.T) {
	var answers []Answer
	for i := range 30 {
		answers = append(answers, Answer{Picture: dataset.Picture{Label: i % 3}, Top: (i + 1) % 3, Score: 0.9})
	}
	e := NewEvaluation([]string{"a", "b", "c"}, answers)
	if len(e.Findings) != 1 || e.Findings[0].Check != "label order" ||
		!strings.Contains(e.Findings[0].Cure, "--labels c,a,b") {
		t.Errorf("%+v", e.Findings)
	}
}
