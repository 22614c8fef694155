package trial

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/vision"
)

// Wilson's interval by hand: 0 of 10 at z = 3.29 ends at z²/(n + z²).
func TestInterval(t *testing.T) {
	z2 := sure * sure
	for _, tt := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 0, 0, 1}, {0, 10, 0, z2 / (10 + z2)}, {10, 10, 10 / (10 + z2), 1}, {50, 100, 0.3436, 0.6564},
	} {
		low, high := Interval(tt.k, tt.n)
		if math.Abs(low-tt.low) > 1e-3 || math.Abs(high-tt.high) > 1e-3 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", tt.k, tt.n, low, high, tt.low, tt.high)
		}
	}
}

func specOf(labels ...string) *bundle.Spec { return &bundle.Spec{Labels: labels} }

// scored are raw scores whose best label is the given one, with 0.9 of the softmax of three.
func scored(label int, noise float32) vision.Logits {
	out := vision.Logits{noise, 0, 0}
	out[label] += 2.89 + noise
	return out
}

// TestComparison: what is proven worse is refused with its reason, and nothing else: neither what
// disagrees where no bound is set, nor labels that only one of the two knows, nor a still scene.
func TestComparison(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	three := specOf("bolt", "nut", "gear")
	bounds := configs.Trial{Agreement: 0.6, Unknown: 0.3, Latency: 1.5}
	noise := func() float32 { return r.Float32() / 10 }
	right := func(i int) vision.Logits { return scored(i%3, noise()) }
	turned := func(i int) vision.Logits { return scored((i+1)%3, noise()) }
	same := func(int) vision.Logits { return scored(1, 0) }
	unsure := func(int) vision.Logits { return vision.Logits{noise(), noise(), noise()} }
	for _, tt := range []struct {
		what    string
		bounds  configs.Trial
		next    *bundle.Spec
		pairs   int
		answer  func(i int) vision.Logits
		took    time.Duration
		want    string
		agreed  int
		common  int
		stillAt bool // the model before says one label only
	}{
		{"the same", bounds, three, 60, right, 10, "", 60, 60, false},
		{"permuted", bounds, three, 60, turned, 10, "agrees with the model before on 0 of 60", 0, 60, false},
		{"permuted, and no bound", configs.Trial{}, three, 60, turned, 10, "", 0, 60, false},
		{"other labels", bounds, specOf("cat", "nut", "dog"), 60, right, 10, "", 20, 20, false},
		{"labels in another order", bounds, specOf("nut", "gear", "bolt"), 60,
			func(i int) vision.Logits { return scored((i+2)%3, noise()) }, 10, "", 60, 60, false},
		{"constant", configs.Trial{}, three, 60, same, 10, "to the bit", 20, 60, false},
		{"all zero", configs.Trial{}, three, 60, func(int) vision.Logits { return vision.Logits{0, 0, 0} }, 10,
			"to the bit", 20, 60, false},
		{"constant, of a still scene", configs.Trial{}, three, 60, same, 10, "", 0, 60, true},
		{"slow", bounds, three, 30, right, 16, "1.6 times as long", 30, 30, false},
		{"a little slow", bounds, three, 60, right, 14, "", 60, 60, false},
		{"too few pictures", bounds, three, 6, turned, 30, "", 0, 6, false},
		{"unsure", configs.Trial{Unknown: 0.3}, three, 60, unsure, 10, "60 of 60 pictures have no label", -1, 60,
			false},
	} {
		c := NewComparison(tt.bounds, three, tt.next, 0.6, Half)
		for i := range tt.pairs {
			label := i % 3
			if tt.stillAt {
				label = 0
			}
			c.Add("a", Seen{Label: label, Score: 0.9, Took: 10}, tt.answer(i), tt.took)
		}
		err := c.Worse()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.want)
		}
		if got := c.Report(); got.Pairs != tt.pairs || got.Common != tt.common ||
			tt.agreed >= 0 && got.Agreed != tt.agreed || got.Ratio != float64(tt.took)/10 {
			t.Errorf("%s: %+v", tt.what, got)
		}
	}
}

// Where the model before has no label for as many pictures, the new one is not worse for it.
func TestUnknownToBoth(t *testing.T) {
	three := specOf("bolt", "nut", "gear")
	c := NewComparison(configs.Trial{Unknown: 0.1}, three, three, 0.6, Half)
	for i := range 90 {
		c.Add("a", Seen{Label: i % 3, Score: 0.4, Took: 1}, vision.Logits{float32(i), float32(i), float32(i) + 0.1}, 1)
	}
	if err := c.Worse(); err != nil {
		t.Error(err)
	}
	nan := float32(math.NaN())
	before := c.Report()
	c.Add("a", Seen{Label: 1, Score: 1}, vision.Logits{nan, 0, 0}, 1)
	c.Add("a", Seen{Label: -1}, vision.Logits{1, 0, 0}, 1)
	unnamed := NewComparison(configs.Trial{}, three, three, 0.6, Half)
	for i := range 9 {
		unnamed.Add("", Seen{Label: i % 3, Took: 1}, vision.Logits{1, 0, 0}, 1)
	}
	if got := unnamed.Report(); got.ChangesOld != 0 || got.Pairs != 9 {
		t.Errorf("of no stream: %+v", got)
	}
	if got := c.Report(); got != before || got.Unknown != 90 || got.UnknownOld != 90 || got.Changes != 0 ||
		got.ChangesOld != 89 {
		t.Errorf("%+v after %+v", got, before)
	}
}

// TestWatch: pictures close to each other count once, a trial is over when both are reached, and a
// share is judged by its interval.
func TestWatch(t *testing.T) {
	bounds := configs.Trial{Hold: time.Minute, Frames: 100, Unknown: 0.5, Latency: 1.5}
	w := NewWatch(bounds, Progress{Frames: 40, Held: 30 * time.Second, Baseline: 10}, time.Second)
	at := time.Unix(0, 0)
	for i := range 60 {
		w.Decided("a", at.Add(time.Duration(i)*100*time.Millisecond), i >= 10, 14)
	}
	if w.Frames != 100 || w.Sampled != 6 || w.Unknown != 5 || w.Done() {
		t.Errorf("%+v, done: %v", w.Progress, w.Done())
	}
	if err := w.Worse(); err != nil {
		t.Errorf("5 of 6: %v", err)
	}
	w.Held += 30 * time.Second
	if !w.Done() {
		t.Errorf("%s: not done", w)
	}
	for i := range 40 {
		w.Decided("b", at.Add(time.Duration(i)*time.Second), true, 14)
	}
	if err := w.Worse(); err == nil || !strings.Contains(err.Error(), "45 of 46 pictures have no label") {
		t.Errorf("45 of 46: %v", err)
	}
	slow := NewWatch(configs.Trial{Latency: 1.5, Frames: 1 << 20}, Progress{Baseline: 10}, 0)
	for i := range surelySlow {
		if err := slow.Worse(); err != nil {
			t.Fatalf("after %d pictures: %v", i, err)
		}
		slow.Decided("a", at, false, 16)
	}
	if err := slow.Worse(); err == nil || !strings.Contains(err.Error(), "model.trial.latency") {
		t.Errorf("slow: %v", err)
	}
	unmeasured := NewWatch(configs.Trial{Latency: 1.5}, Progress{}, 0)
	unmeasured.Decided("a", at, false, time.Hour)
	if err := unmeasured.Worse(); err != nil || !unmeasured.Done() {
		t.Errorf("nothing to hold the time against: %v", err)
	}
}

// Beside the other process all of the 60 pictures of the default prove that a model is slow; where two
// of three are slow, as where the two disturb each other, nothing is proven.
func TestSlowBesideAnother(t *testing.T) {
	three := specOf("bolt", "nut", "gear")
	for every, want := range map[int]bool{60: true, 3: false} {
		c := NewComparison(configs.Trial{Latency: 1.5}, three, three, 0.6, Nearly)
		for i := range 60 {
			took := time.Duration(16)
			if i%every == every-1 && every < 60 {
				took = 10
			}
			c.Add("a", Seen{Label: i % 3, Score: 0.9, Took: 10}, scored(i%3, float32(i)/1000), took)
		}
		if err := c.Worse(); (err != nil) != want {
			t.Errorf("one of %d fast enough: %v", every, err)
		}
	}
}

// Nothing is allocated for a picture.
func TestNothingIsAllocated(t *testing.T) {
	three := specOf("bolt", "nut", "gear")
	c, w := NewComparison(configs.Trial{}, three, three, 0.6, Half), NewWatch(configs.Trial{}, Progress{}, 0)
	at, row := time.Unix(0, 0), scored(1, 0)
	allocated := testing.AllocsPerRun(100, func() {
		c.Add("a", Seen{Label: 1, Score: 0.9, Took: 1}, row, 1)
		w.Decided("a", at, false, 1)
	})
	if allocated != 0 {
		t.Errorf("%g allocations a picture", allocated)
	}
}
