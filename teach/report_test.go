package teach

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/vision"
)

// judged is the report of n pictures of each of the labels nut and bolt, and of the new label cog,
// when held-out answers are wrong on the first few of each, after and before. Before knows no cog.
func judged(n int, after, before map[string]int) *Report {
	r := &Report{Labels: []string{"nut", "bolt", "cog"}, Added: []string{"cog"}}
	var pictures []dataset.Picture
	var examples []example
	var was []eval.Answer
	c := &chosen{temperature: 1}
	for label, name := range r.Labels {
		for i := range n {
			p := dataset.Picture{Path: name, Label: label}
			examples = append(examples, example{picture: len(pictures), class: label})
			pictures = append(pictures, p)
			row := vision.Logits{0, 0, 0}
			row[label] = 6
			if i < after[name] {
				row[label], row[(label+1)%3] = 0, 6
			}
			c.logits = append(c.logits, row)
			a := eval.Answer{Picture: p, Top: label % 2, Score: 0.9}
			if i < before[name] {
				a.Top = (label + 1) % 2
			}
			was = append(was, a)
		}
	}
	r.judge(pictures, examples, was, c, []string{"nut", "bolt"})
	return r
}

func TestGatesMissOnlyWhatIsProven(t *testing.T) {
	for name, c := range map[string]struct {
		n             int
		after, before map[string]int
		missed        []string
		verdict       string
	}{
		"a new label that is found": {50, nil, nil, nil, "better: 100.00 % of 150 held-out pictures"},
		"old labels lose much": {50, map[string]int{"nut": 12}, nil, []string{"old labels: 12.00 points of 100"},
			"not better: old labels"},
		"old labels lose one picture of 100: not proven": {50, map[string]int{"nut": 1}, nil, nil, "better: "},
		"a new label that is not found": {50, map[string]int{"cog": 20}, nil, []string{"cog: 60 % of its 50"},
			"not better: cog"},
		"under 90 %, but of 10 pictures: not proven": {10, map[string]int{"cog": 2}, nil, nil, "better: "},
		"old labels win what they lose": {50, map[string]int{"nut": 8}, map[string]int{"bolt": 8}, nil,
			"better: "},
	} {
		r := judged(c.n, c.after, c.before)
		if len(r.Missed) != len(c.missed) {
			t.Errorf("%s: missed %q, want %q", name, r.Missed, c.missed)
			continue
		}
		for i, want := range c.missed {
			if !strings.HasPrefix(r.Missed[i], want) {
				t.Errorf("%s: %q, want %q", name, r.Missed[i], want)
			}
		}
		if !strings.HasPrefix(r.Verdict, c.verdict) {
			t.Errorf("%s: %q, want %q", name, r.Verdict, c.verdict)
		}
	}
}

// What is lost and its lower end, by hand: 12 of 100 are wrong only now, none only before: 0.12, and
// 0.12 − 1.96·√((0.12 − 0.0144)/100).
func TestLost(t *testing.T) {
	lost, least := lostOf(&eval.Comparison{OnlyOther: 12}, 100)
	if math.Abs(lost-0.12) > 1e-12 || math.Abs(least-0.0563) > 1e-4 {
		t.Errorf("%v, %v", lost, least)
	}
	if lost, least := lostOf(&eval.Comparison{}, 0); lost != 0 || least != 0 {
		t.Errorf("of nothing %v, %v", lost, least)
	}
}

func TestCannotTell(t *testing.T) {
	r := &Report{After: &eval.Evaluation{Top1: &eval.Share{Value: 0.9}, Against: &eval.Comparison{OnlyThis: 6,
		OnlyOther: 4, P: 0.75}}}
	// 1.96²·10/2²·100 = 960.4, to tens.
	if got, want := r.verdict(100), "cannot tell yet: 90.00 % of 100 held-out pictures are answered rightly, +2.00 "+
		"points, which chance gives in 75 of 100 cases; about 970 pictures would tell"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	r.After.Against = &eval.Comparison{P: 1}
	if got := r.verdict(100); !strings.HasSuffix(got, "about 400 pictures would tell") {
		t.Errorf("without a difference: %q", got)
	}
}

func TestCounts(t *testing.T) {
	r := &Report{Labels: []string{"nut", "bolt", "cog"}}
	var examples []example
	for class, n := range []int{300, 25, 5} {
		for range n {
			examples = append(examples, example{class: class})
		}
	}
	examples[0].copy, examples[1].err = true, bytes.ErrTooLarge
	if empty := r.count(examples); empty != "" || r.Pictures != 328 || r.Copies != 1 {
		t.Errorf("%q, %d pictures, %d copies", empty, r.Pictures, r.Copies)
	}
	var checks []string
	for _, f := range r.Findings {
		checks = append(checks, f.Check+": "+f.Evidence)
	}
	for i, want := range []string{"unreadable: 1 picture was left out", "copies: ",
		"few: fewer than 20 pictures that count: cog (5)",
		"uneven: the largest label has 298 pictures, the smallest 5"} {
		if i >= len(checks) || !strings.HasPrefix(checks[i], want) {
			t.Errorf("%q, want %q as number %d", checks, want, i)
		}
	}
	if empty := new(Report).with("nut", "bolt").count(examples[:300]); empty != "bolt" {
		t.Errorf("without a bolt: %q", empty)
	}
}

func (r *Report) with(labels ...string) *Report { r.Labels = labels; return r }

// The gate on unknown misses only what is proven to be worse by more than a point.
func TestUnknownGate(t *testing.T) {
	for high, missed := range map[float64]bool{-0.011: true, -0.009: false, 0.02: false} {
		r := judged(40, nil, nil)
		r.Unknown = &Unknown{Labels: 5, Before: 0.9, After: 0.8, Gain: -0.1, Low: -0.2, High: high}
		if got := r.gates(80); (len(got) == 1 && strings.Contains(got[0], "none of the labels")) != missed {
			t.Errorf("high %g: %v", high, got)
		}
	}
	mean, low, high := interval([]float64{0.1, 0.2, 0.3})
	if half := 1.96 * 0.1 / math.Sqrt(3); math.Abs(mean-0.2) > 1e-9 || math.Abs(low-0.2+half) > 1e-5 ||
		math.Abs(high-0.2-half) > 1e-5 {
		t.Errorf("%g, %g to %g", mean, low, high)
	}
}

// A picture whose held-out answer is sure of another label is named, the surest first.
func TestDoubted(t *testing.T) {
	r := judged(5, map[string]int{"nut": 2}, nil)
	if len(r.Doubted) != 2 || r.Doubted[0].Label != "nut" || r.Doubted[0].Answer != "bolt" ||
		math.Abs(r.Doubted[0].Score-math.Exp(6)/(math.Exp(6)+2)) > 1e-6 {
		t.Errorf("%+v", r.Doubted)
	}
}

// The page shows strangers' names as text, and the curve where it belongs.
func TestPage(t *testing.T) {
	r := judged(5, map[string]int{"nut": 1}, nil)
	r.Labels[2], r.Added[0], r.Verdict = "<script>", "<script>", "better: <b>"
	r.Curve = []Point{{0.5, 8, eval.NewShare(7, 15)}, {1, 15, eval.NewShare(14, 15)}}
	var page bytes.Buffer
	if err := WriteHTML(&page, r); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if strings.Contains(text, "<script>") || !strings.Contains(text, "better: &lt;b&gt;") ||
		!strings.Contains(text, "8 pictures: 46.7 %") {
		t.Errorf("%s", text)
	}
	d := curveOf(r.Curve)
	if len(d.Points) != 2 || d.Points[1].X != float64(d.Right) || d.Points[1].Y >= d.Points[0].Y || d.Low != 0.2 ||
		d.Points[0].Low > float64(d.Bottom) {
		t.Errorf("%+v", d)
	}
	if flat := curveOf([]Point{{1, 9, eval.Share{Value: 1, Low: 1, High: 1}}}); flat.Low >= 1 ||
		math.IsNaN(flat.Points[0].Y) {
		t.Errorf("all right: %+v", flat)
	}
}

// Labels that stand in another order than the folders are named, with the order that is right.
func TestLabelOrderIsNamed(t *testing.T) {
	labels := []string{"bolt", "gear", "nut"}
	var before []eval.Answer
	for i := range 30 { // the network's rows are nut, bolt, gear
		before = append(before, eval.Answer{Picture: dataset.Picture{Label: i % 3}, Top: (i%3 + 1) % 3})
	}
	before = append(before, eval.Answer{Picture: dataset.Picture{Label: -1}, Top: 0}, // of a new label
		eval.Answer{Picture: dataset.Picture{Label: 0}, Top: -1, Err: errors.New("damaged")})
	found := labelOrder(before, labels)
	if len(found) != 1 || !strings.Contains(found[0].Evidence, "bolt is answered as gear") ||
		!strings.Contains(found[0].Cure, "--labels nut,bolt,gear") {
		t.Errorf("%+v", found)
	}
	for i := range before {
		before[i].Top = before[i].Picture.Label
	}
	if found := labelOrder(before, labels); len(found) > 0 {
		t.Errorf("in the right order: %+v", found)
	}
}
