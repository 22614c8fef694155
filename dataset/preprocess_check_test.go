package dataset

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// answersOf are n answers of a network of four classes that is right as often as share says, and as
// sure as spread.
func answersOf(n int, share, spread float64, labelled bool, seed uint64) []Answer {
	r := rand.New(rand.NewPCG(seed, 1))
	all := make([]Answer, n)
	for i := range all {
		class := i % 4
		all[i] = Answer{Label: -1, Logits: make([]float32, 4)}
		for k := range all[i].Logits {
			all[i].Logits[k] = float32(0.1 * r.NormFloat64())
		}
		says := class
		if float64(i)/float64(n) >= share {
			says = (class + 1) % 4
		}
		all[i].Logits[says] += float32(spread)
		if labelled {
			all[i].Label = class
		}
	}
	return all
}

// Variants are other preparations, one each, and none is what was declared.
func TestVariants(t *testing.T) {
	plain := vision.Preprocess{Resize: vision.ResizeSquash, Channels: vision.ChannelsBGR, Scale: 1.0 / 255,
		Std: [3]float64{1, 1, 1}}
	bytes := plain
	bytes.Scale = 1
	for name, tt := range map[string]struct {
		declared vision.Preprocess
		want     int
		channels string
		scale    float64 // of the last
	}{
		"torchvision":  {vision.Torchvision(96), 3, vision.ChannelsBGR, 1},
		"0 to 1":       {plain, 4, vision.ChannelsRGB, 1},
		"0 to 255, as": {bytes, 4, vision.ChannelsRGB, 1.0 / 255},
	} {
		all := Variants(tt.declared)
		if len(all) != tt.want || all[0].Preprocess.Channels != tt.channels || !all[0].SameRange {
			t.Errorf("%s: %+v", name, all)
			continue
		}
		if got := all[len(all)-1].Preprocess.Scale; math.Abs(got-tt.scale) > 1e-12 {
			t.Errorf("%s: the last variant scales by %g, want %g", name, got, tt.scale)
		}
		for i, v := range all {
			if v.Preprocess == tt.declared || v.Name == "" || i > 0 && v.SameRange {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

// A variant is believed where it is right on more labelled pictures than chance explains, where its
// answers tell more about pictures without labels, or where the network is surer; else not.
func TestCheckPreprocess(t *testing.T) {
	same, other := Variant{Name: "swapped", SameRange: true}, Variant{Name: "scaled"}
	for _, tt := range []struct {
		name     string
		declared []Answer
		variant  Variant
		answers  []Answer
		want     string // of the evidence; "": nothing is found
	}{
		{"better by far", answersOf(100, 0.5, 5, true, 1), other, answersOf(100, 0.9, 5, true, 2),
			"scaled the network is right on 90 of 100 pictures, as declared on 50"},
		{"better by chance", answersOf(100, 0.80, 5, true, 1), other, answersOf(100, 0.84, 5, true, 2), ""},
		{"as good", answersOf(100, 0.9, 5, true, 1), other, answersOf(100, 0.9, 5, true, 1), ""},
		{"worse", answersOf(100, 0.9, 5, true, 1), other, answersOf(100, 0.3, 5, true, 2), ""},
		{"fewer pictures", answersOf(200, 0.4, 5, true, 1), other, answersOf(40, 0.9, 5, true, 2), ""},
		{"surer, of the same range", answersOf(60, 0.9, 5, true, 1), same, answersOf(60, 0.9, 7, true, 1),
			"swapped the network is surer"},
		{"surer, of another range", answersOf(60, 0.9, 5, true, 1), other, answersOf(60, 0.9, 7, true, 1), ""},
		{"surer on too few", answersOf(20, 0.9, 5, true, 1), same, answersOf(20, 0.9, 7, true, 1), ""},
		{"less sure", answersOf(60, 0.9, 7, true, 1), same, answersOf(60, 0.9, 5, true, 1), ""},
		{"no labels, tells more", always(100, 5), other, answersOf(100, 1, 5, false, 2), "tell"},
		{"no labels, tells as much", answersOf(100, 1, 5, false, 1), other, answersOf(100, 1, 9, false, 2), ""},
		{"no labels, tells less", answersOf(100, 1, 5, false, 1), other, always(100, 5), ""},
	} {
		found := CheckPreprocess(tt.declared, []Variant{tt.variant}, [][]Answer{tt.answers})
		if tt.want == "" {
			if len(found) != 0 {
				t.Errorf("%s: a false alarm: %+v", tt.name, found)
			}
			continue
		}
		if len(found) != 1 || found[0].Check != "preprocessing" || !strings.Contains(found[0].Evidence, tt.want) ||
			found[0].Cure == "" {
			t.Errorf("%s: %+v, want …%s…", tt.name, found, tt.want)
		}
	}
}

// always are answers that are the same whatever the picture.
func always(n int, spread float64) []Answer {
	all := answersOf(n, 1, 0, false, 9)
	for i := range all {
		all[i].Logits[2] += float32(spread)
	}
	return all
}

// Of several variants that are better the best is named.
func TestCheckPreprocessNamesTheBest(t *testing.T) {
	variants := []Variant{{Name: "first"}, {Name: "second"}, {Name: "third"}}
	answers := [][]Answer{answersOf(100, 0.8, 5, true, 2), answersOf(100, 0.95, 5, true, 3),
		answersOf(100, 0.3, 5, true, 4)}
	found := CheckPreprocess(answersOf(100, 0.5, 5, true, 1), variants, answers)
	if len(found) != 1 || !strings.HasPrefix(found[0].Evidence, "second ") {
		t.Errorf("%+v", found)
	}
}

// Information is nothing where all answers are alike, and the logarithm of the classes where they
// are sure and even; scaling the logits changes nothing.
func TestInformation(t *testing.T) {
	if got := information(nil); got != 0 {
		t.Errorf("of no answers: %g", got)
	}
	if got := information(always(100, 5)); got > 0.05 {
		t.Errorf("of answers that are all alike: %g", got)
	}
	sure := answersOf(400, 1, 20, false, 1)
	got := information(sure)
	if math.Abs(got-math.Log(4)) > 0.05 {
		t.Errorf("of sure answers to four classes: %g, want log 4", got)
	}
	scaled := slices.Clone(sure)
	for i := range scaled {
		scaled[i].Logits = slices.Clone(sure[i].Logits)
		for k := range scaled[i].Logits {
			scaled[i].Logits[k] *= 100
		}
	}
	if again := information(scaled); math.Abs(again-got) > 1e-4 {
		t.Errorf("with logits a hundred times as large: %g, before %g", again, got)
	}
}

func TestEnergy(t *testing.T) {
	for _, tt := range []struct {
		logits []float32
		want   float64
	}{{[]float32{0, 0, 0, 0}, math.Log(4)}, {[]float32{1000, 0}, 1000}, {[]float32{-1000, -1000}, -1000 + math.Ln2}} {
		if got := energy(tt.logits); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%v: %g, want %g", tt.logits, got, tt.want)
		}
	}
}
