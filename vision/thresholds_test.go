package vision

import (
	"slices"
	"strings"
	"testing"
)

func TestParseThresholds(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string // as FormatThresholds writes it, or a part of the error
	}{
		{nil, ""},
		{[]string{"gear 0.8", "bolt  m6\t0.25"}, "bolt  m6 0.25, gear 0.8"},
		{[]string{" 7 1 "}, "7 1"},
		{[]string{"gear"}, "decide.thresholds[0]: must be a label and a score from 0 to 1, as in 'gear 0.8', " +
			`got "gear"`},
		{[]string{"a 0", "gear 1.5"}, "decide.thresholds[1]: must be"},
		{[]string{"gear: 0.8"}, "decide.thresholds[0]: must be a label and a score from 0 to 1, as in 'gear 0.8'"},
		{[]string{"gear = 0.8"}, "decide.thresholds[0]: must be"},
		{[]string{"gear NaN"}, "decide.thresholds[0]: must be"},
		{[]string{"0.5"}, "decide.thresholds[0]: must be"},
		{[]string{"a 0.5", "a 0.6"}, "decide.thresholds[1]: a stands there twice"},
		{make([]string, MostThresholds+1), "decide.thresholds: at most 1000, got 1001"},
	} {
		all, err := ParseThresholds(c.lines)
		got := strings.Join(FormatThresholds(all), ", ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%q: got %q, want %q", c.lines, got, c.want)
		}
		if again, err := ParseThresholds(FormatThresholds(all)); err != nil || len(again) != len(all) {
			t.Errorf("%q: read back as %v, %v", c.lines, again, err)
		}
	}
	if got := UnknownLabels([]ClassThreshold{{"a", 1}, {"x", 1}}, abc); !slices.Equal(got, []string{"x"}) {
		t.Errorf("unknown: %v, want x", got)
	}
}

// A class counts from its own threshold on where it is the best, keeps its own hysteresis, and follows
// what is set while frames come.
func TestClassThresholds(t *testing.T) {
	// Three classes with the scores of a, b and c; the rest of the softmax is what the others leave.
	frame := func(top int, score float32, d *Decider) string {
		var out Decision
		rest := (1 - score) / 2
		classes := []Class{{Index: top, Score: score}, {Index: (top + 1) % 3, Score: rest}}
		d.Replay(classes, &out)
		return out.Stable.Label
	}
	d, err := NewDecider(DecideConfig{TopK: 3, Threshold: 0.6, Hysteresis: 0.1, Confirm: 1,
		Thresholds: []string{abc[0] + " 0.9", "gone 0.1", abc[1] + " 0.3"}}, abc, "")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		top   int
		score float32
		want  string
	}{
		{0, 0.85, Unknown}, // below its own, above the others'
		{0, 0.95, abc[0]},
		{0, 0.82, abc[0]}, // within the hysteresis of its own
		{0, 0.78, Unknown},
		{1, 0.4, abc[1]},   // its own is lower
		{2, 0.55, Unknown}, // has none of its own
		{2, 0.65, abc[2]},
	} {
		if got := frame(c.top, c.score, d); got != c.want {
			t.Errorf("frame %d: %s, want %s", i, got, c.want)
		}
	}
	d.SetThreshold(0.2)
	if got := frame(0, 0.78, d); got == abc[0] {
		t.Error("the threshold of all stands over the class's own")
	}
	d.SetThresholds([]ClassThreshold{{abc[2], 0.5}})
	if got := frame(0, 0.4, d); got != abc[0] {
		t.Errorf("without its own: %s, want %s by the threshold of all", got, abc[0])
	}
	if allocs := testing.AllocsPerRun(100, func() { d.SetThreshold(0.2) }); allocs > 0 {
		t.Errorf("a frame allocates %g times", allocs)
	}
}
