package vision

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

var abc = []string{"a", "b", "c"}

// logitsOf returns logits whose softmax is p.
func logitsOf(p ...float64) Logits {
	l := make(Logits, len(p))
	for i, v := range p {
		l[i] = float32(math.Log(v) + 3)
	}
	return l
}

// frames are what the network may say in the table below.
var frames = map[byte]Logits{
	'a': logitsOf(0.9, 0.06, 0.04),
	'b': logitsOf(0.1, 0.8, 0.1),
	'c': logitsOf(0.15, 0.15, 0.7),
	'?': logitsOf(0.4, 0.35, 0.25), // below the threshold of 0.5
	'!': {1, float32(math.NaN()), 0},
	'^': {float32(math.Inf(1)), 0, 0},
	'_': {float32(math.Inf(-1)), 0, 0},
	'-': {1, 2}, // a label is missing
	'0': nil,
}

// Each frame of says gives one letter of want: the stable class, upper case where it changed, '.'
// for Unknown, ':' for Unknown where that is the change. Before is what stood before the last
// change.
func TestDecideSequences(t *testing.T) {
	for _, c := range []struct {
		name       string
		confirm    int
		says, want string
		before     string
	}{
		{"one frame is enough", 1, "aab?c", "AaB:C", "unknown"},
		{"the first state needs confirmation", 3, "aaaa", "..Aa", "unknown"},
		{"unknown at the start is no change", 2, "????", "....", "unknown"},
		{"a single other frame is ignored", 2, "aabaaba", ".Aaaaaa", "unknown"},
		{"two others in a row are not", 2, "aabbb", ".AaBb", "a"},
		{"rivals do not add up", 2, "aabcbcc", ".AaaaaC", "a"},
		{"a vote for the stable one ends a run", 3, "aaabbabbb", "..AaaaaaB", "a"},
		{"unknown needs confirmation too", 2, "aa?a??", ".Aaaa:", "a"},
		{"and back", 2, "aa??aa", ".Aa:.A", "unknown"},
		{"NaN is unknown at once", 3, "aaaa!", "..Aa:", "a"},
		{"infinity is unknown at once", 1, "a^a_a", "A:A:A", "unknown"},
		{"a wrong number of logits, too", 1, "b-b0", "B:B:", "b"},
		{"NaN while unknown is no change", 2, "!!", "..", "unknown"},
		{"NaN ends a run", 3, "aa!aaa", ".....A", "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := NewDecider(DecideConfig{TopK: 2, Threshold: 0.5, Confirm: c.confirm}, abc, "")
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			var out Decision
			for _, frame := range []byte(c.says) {
				d.Decide(frames[frame], &out)
				got.WriteString(letter(&out))
				checkDecision(t, frame, &out)
			}
			if got.String() != c.want {
				t.Errorf("%s: got %s, want %s", c.says, &got, c.want)
			}
			if out.Before.Label != c.before {
				t.Errorf("%s: got before %q, want %q", c.says, out.Before.Label, c.before)
			}
		})
	}
}

func letter(d *Decision) string {
	switch {
	case d.Stable.Index < 0 && d.Changed:
		return ":"
	case d.Stable.Index < 0:
		return "."
	case d.Changed:
		return strings.ToUpper(d.Stable.Label)
	}
	return d.Stable.Label
}

// checkDecision checks what holds in every decision without smoothing.
func checkDecision(t *testing.T, frame byte, d *Decision) {
	t.Helper()
	var p [3]float32
	if l := frames[frame]; len(l) != 3 || !Softmax(p[:], l) {
		if len(d.Top) != 0 {
			t.Errorf("frame %c: got top %v, want none", frame, d.Top)
		}
	} else if len(d.Top) != 2 || d.Top[0].Score < d.Top[1].Score || d.Top[0].Score != p[d.Top[0].Index] {
		t.Errorf("frame %c: got top %v, want the two best of %v", frame, d.Top, p)
	}
	if d.Stable.Index < 0 {
		if want := (Class{Label: Unknown, Index: -1}); d.Stable != want {
			t.Errorf("frame %c: got %+v, want %+v", frame, d.Stable, want)
		}
	} else if want := p[d.Stable.Index]; d.Stable.Score != want || d.Stable.Label != abc[d.Stable.Index] {
		t.Errorf("frame %c: got %+v, want the score of this frame, %g", frame, d.Stable, want)
	}
}

// The class that holds may fall below the threshold by the hysteresis, unless another one reaches
// it; and what has changed stays for the dwell, but for a frame that says nothing.
func TestDecideHysteresisAndDwell(t *testing.T) {
	weak, rival := logitsOf(0.45, 0.5, 0.05), logitsOf(0.39, 0.59, 0.02)
	start := time.Now()
	for _, c := range []struct {
		name        string
		hysteresis  float64
		dwell       time.Duration
		logits      []Logits // one each second
		want        string   // as TestDecideSequences
		thresholdTo float64  // from the third frame on; 0: as it was
	}{
		{"held within", 0.15, 0, []Logits{frames['a'], weak, weak}, "Aaa", 0},
		{"below", 0.1, 0, []Logits{frames['a'], weak, weak}, "A:.", 0},
		{"another reaches the threshold", 0.5, 0, []Logits{frames['a'], frames['b']}, "AB", 0},
		{"another stays below it", 0.25, 0, []Logits{frames['a'], rival}, "Aa", 0},
		{"unknown needs the whole threshold", 0.5, 0, []Logits{weak, weak}, "..", 0},
		{"dwell", 0, 3 * time.Second, []Logits{frames['a'], frames['b'], frames['b'], frames['b'], frames['a']},
			"AaaBb", 0},
		{"a single other frame in the dwell", 0, 2 * time.Second, []Logits{frames['a'], frames['b'], frames['a'],
			frames['a']}, "Aaaa", 0},
		{"nothing is said at once", 0, time.Minute, []Logits{frames['a'], frames['!'], frames['a']}, "A:.", 0},
		{"another threshold, with its hysteresis", 0.15, 0, []Logits{frames['a'], weak, weak, frames['b']}, "Aa:.",
			0.85},
	} {
		d, err := NewDecider(DecideConfig{TopK: 1, Threshold: 0.6, Hysteresis: c.hysteresis, Confirm: 1,
			Dwell: c.dwell}, abc, "")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i, l := range c.logits {
			if i == 2 && c.thresholdTo > 0 {
				d.SetThreshold(c.thresholdTo)
			}
			out := Decision{Time: start.Add(time.Duration(i) * time.Second)}
			d.Decide(l, &out)
			got += letter(&out)
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// Smoothing is q = s·q' + (1−s)·p, and starts anew after Reset and after a frame that says nothing.
func TestDecideSmooths(t *testing.T) {
	d, err := NewDecider(DecideConfig{TopK: 9, Confirm: 1, Smoothing: 0.75}, abc, "")
	if err != nil {
		t.Fatal(err)
	}
	var out Decision
	score := func(l Logits, class int) float64 {
		d.Decide(l, &out)
		for _, c := range out.Top {
			if c.Index == class {
				return float64(c.Score)
			}
		}
		return math.NaN()
	}
	for i, step := range []struct {
		do   func()
		says byte
		want float64 // score of class b
	}{
		{func() {}, 'a', 0.06},
		{func() {}, 'b', 0.75*0.06 + 0.25*0.8},
		{func() {}, 'b', 0.75*0.245 + 0.25*0.8},
		{d.Reset, 'c', 0.15},
		{func() {}, 'b', 0.75*0.15 + 0.25*0.8},
		{func() { d.Decide(frames['!'], &out) }, 'b', 0.8},
	} {
		step.do()
		if got := score(frames[step.says], 1); math.Abs(got-step.want) > 1e-6 {
			t.Errorf("step %d: got %g, want %g", i, got, step.want)
		}
	}
	if len(out.Top) != 3 {
		t.Errorf("got %d classes for top_k 9 of 3, want 3", len(out.Top))
	}
}

func TestDecideThresholdIsInclusive(t *testing.T) {
	d, err := NewDecider(DecideConfig{TopK: 1, Threshold: 0.5, Confirm: 1, Unknown: "nothing"}, abc[:2], "")
	if err != nil {
		t.Fatal(err)
	}
	var out Decision
	d.Decide(Logits{7, 7}, &out)
	if out.Stable.Label != "a" {
		t.Errorf("at the threshold: got %q, want a", out.Stable.Label)
	}
	d.Decide(Logits{7, 7.01}, &out)
	if out.Stable.Label != "b" {
		t.Errorf("above the threshold: got %q, want b", out.Stable.Label)
	}
	d.Decide(Logits{float32(math.NaN()), 0}, &out)
	if out.Stable.Label != "nothing" {
		t.Errorf("got %q, want the configured word", out.Stable.Label)
	}
}

func TestDecideConfigValidate(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		cfg  DecideConfig
		want string
	}{
		{DecideConfig{TopK: 5, Threshold: 0.6, Confirm: 3, Smoothing: 0.5, Unknown: "none"}, ""},
		{DecideConfig{TopK: 1, Threshold: 1, Confirm: 1}, ""},
		{DecideConfig{TopK: 0, Confirm: 1}, "decide.top_k: must be ≥ 1, got 0"},
		{DecideConfig{TopK: 1, Confirm: -2}, "decide.confirm: must be ≥ 1, got -2"},
		{DecideConfig{TopK: 1, Confirm: 1, Threshold: 1.5}, "decide.threshold: must be between 0 and 1, got 1.5"},
		{DecideConfig{TopK: 1, Confirm: 1, Threshold: nan}, "decide.threshold: must be between 0 and 1, got NaN"},
		{DecideConfig{TopK: 1, Confirm: 1, Hysteresis: nan}, "decide.hysteresis: must be between 0 and 1, got NaN"},
		{DecideConfig{TopK: 1, Confirm: 1, Dwell: -time.Second}, "decide.dwell: must be ≥ 0, got -1s"},
		{DecideConfig{TopK: 1, Confirm: 1, Smoothing: 1}, "decide.smoothing: must be ≥ 0 and < 1, got 1"},
		{DecideConfig{TopK: 1, Confirm: 1, Smoothing: nan}, "decide.smoothing: must be ≥ 0 and < 1, got NaN"},
	} {
		got := ""
		if err := c.cfg.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: got %q, want %q", c.cfg, got, c.want)
		}
	}
}

func TestNewDeciderRefuses(t *testing.T) {
	for _, c := range []struct {
		cfg    DecideConfig
		labels []string
		want   string
	}{
		{DecideConfig{}, abc, "vision: decide.top_k: must be ≥ 1, got 0"},
		{DecideConfig{TopK: 1, Confirm: 1}, nil, "vision: decide: there are no labels"},
		{DecideConfig{TopK: 1, Confirm: 1, Unknown: "b"}, abc,
			`vision: decide.unknown: "b" is already labels[1] of the bundle: choose another word`},
		{DecideConfig{TopK: 1, Confirm: 1}, []string{"cat", Unknown},
			`vision: decide.unknown: "unknown" is already labels[1] of the bundle: choose another word`},
	} {
		if _, err := NewDecider(c.cfg, c.labels, ""); err == nil || err.Error() != c.want {
			t.Errorf("%+v: got error %v, want %q", c.cfg, err, c.want)
		}
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	for _, n := range []int{9, 1000} {
		d, l := decider(t, n)
		var out Decision
		if got := testing.AllocsPerRun(50, func() { d.Decide(l, &out) }); got != 0 {
			t.Errorf("%d classes: got %g allocations a frame, want 0", n, got)
		}
	}
}

// decider is one over n classes, with logits for it.
func decider(tb testing.TB, n int) (*Decider, Logits) {
	labels, l := make([]string, n), make(Logits, n)
	for i := range labels {
		labels[i] = fmt.Sprint("class ", i)
		l[i] = float32(i*7919%n) / float32(n) * 20
	}
	d, err := NewDecider(DecideConfig{TopK: 5, Threshold: 0.5, Confirm: 2, Smoothing: 0.5}, labels, "")
	if err != nil {
		tb.Fatal(err)
	}
	return d, l
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{9, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d, l := decider(b, n)
			var out Decision
			b.ReportAllocs()
			for b.Loop() {
				d.Decide(l, &out)
			}
		})
	}
}

// Labels that do not exclude each other hold each for itself; the best of them is what counts as
// the stable class.
func TestDecideEachForItself(t *testing.T) {
	d, err := NewDecider(DecideConfig{TopK: 1, Threshold: 0.6, Confirm: 1}, []string{"car", "rain", "night"},
		ScoresSigmoid)
	if err != nil {
		t.Fatal(err)
	}
	var out Decision
	d.Decide(Logits{float32(math.Log(3)), -5, float32(math.Log(9))}, &out) // 0.75, 0.007, 0.9
	if len(out.Labels) != 2 || out.Labels[0].Label != "night" || out.Labels[1].Label != "car" ||
		math.Abs(float64(out.Labels[1].Score)-0.75) > 1e-6 || out.Stable.Label != "night" || len(out.Top) != 1 {
		t.Errorf("%+v", out)
	}
	var kept Decision
	out.CopyTo(&kept)
	d.Decide(Logits{-1, -1, -1}, &out)
	if len(out.Labels) != 0 || out.Stable.Label != Unknown || len(kept.Labels) != 2 ||
		kept.Labels[0].Label != "night" {
		t.Errorf("nothing holds: %+v, kept %+v", out, kept)
	}
	l := Logits{3, 2, 1}
	if n := testing.AllocsPerRun(100, func() { d.Decide(l, &out) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

// A frame whose p-value is below UnknownBelow votes for no class, however high its scores; one
// without a p-value is decided on its scores alone.
func TestUnknownBelow(t *testing.T) {
	d, err := NewDecider(DecideConfig{TopK: 2, Threshold: 0.5, Hysteresis: 0.2, Confirm: 2, UnknownBelow: 0.05},
		[]string{"nut", "bolt"}, ScoresSoftmax)
	if err != nil {
		t.Fatal(err)
	}
	sure := Logits{8, 0}
	for i, c := range []struct {
		p       float32
		label   string
		unknown bool
	}{
		{0, Unknown, false}, {0.5, "nut", false}, {0.05, "nut", false},
		{0.049, "nut", true}, // not confirmed yet
		{0.01, Unknown, true},
		{0.01, Unknown, true}, {0.3, Unknown, false}, {0, "nut", false},
	} {
		out := Decision{PValue: c.p}
		d.Decide(sure, &out)
		if out.Stable.Label != c.label || out.Unknown != c.unknown || len(out.Top) != 2 {
			t.Errorf("frame %d, p %g: %+v", i, c.p, out)
		}
	}
	d.SetUnknownBelow(0)
	out := Decision{PValue: 0.001}
	if d.Decide(sure, &out); out.Unknown {
		t.Error("switched off, it still says unknown")
	}
	if _, err := NewDecider(DecideConfig{TopK: 1, Confirm: 1, UnknownBelow: 1}, []string{"nut"}, ""); err == nil ||
		!strings.Contains(err.Error(), "decide.unknown_below: must be ≥ 0 and < 1, got 1") {
		t.Errorf("%v", err)
	}
}
