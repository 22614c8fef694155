package samples

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// The samples in front differ most from each other and from the marked ones; those of another model,
// or without features, come last in their order.
func TestSpread(t *testing.T) {
	f, err := Open(Config{Dir: t.TempDir(), Bytes: 1 << 20, Count: 20})
	if err != nil {
		t.Fatal(err)
	}
	var picture vision.Frame
	picture.Resize(4, 4)
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	names := map[string]string{}
	for i, c := range []struct {
		name, sum string
		x         []float32
	}{ // oldest first
		{"none", "abc", nil}, {"other model", "old", []float32{0, 0, 1}}, {"marked", "abc", []float32{5, 0, 0}},
		{"like the marked", "abc", []float32{2, 0.1, 0}}, {"far, again", "abc", []float32{0.3, 3, 0}},
		{"far", "abc", []float32{0, 2, 0}}, {"third", "abc", []float32{-1, 0, 4}},
		{"newest", "abc", []float32{1, 1, 0}},
	} {
		d := decision(at.Add(time.Duration(i)*time.Second), "bolt", 0.5)
		if c.x != nil {
			d.Signals = &vision.Signals{Features: c.x}
		}
		if err := f.Save(d, &picture, "uncertain", c.sum); err != nil {
			t.Fatal(err)
		}
		names[d.Time.Format(stamp)] = c.name
	}
	r, err := OpenReview(f.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := r.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if names[s.Name[:len(stamp)]] == "marked" {
			if _, err := r.Mark([]string{s.Name}, text("bolt")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if all, err = r.List(); err != nil {
		t.Fatal(err)
	}
	var open []Sample
	for _, s := range all {
		if !s.Marked {
			open = append(open, s)
		}
	}
	var got []string
	for _, s := range r.Spread(open, all) {
		got = append(got, names[s.Name[:len(stamp)]])
	}
	want := []string{"third", "far", "newest", "far, again", "like the marked", "other model", "none"}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

// In front stands one picture of each of many groups, not those that are like none; a group with a marked
// picture needs no other.
func TestRepresentatives(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 4))
	const groups, each, outliers = 10, 40, 8
	near := func(group int) []float32 {
		v := make([]float32, 32)
		for k := range v {
			v[k] = float32(0.03 * rng.NormFloat64())
		}
		v[group]++
		return v
	}
	var vectors [][]float32
	for i := range groups * each {
		vectors = append(vectors, near(i%groups))
	}
	for i := range outliers {
		vectors = append(vectors, make([]float32, 32))
		for k := range vectors[len(vectors)-1] {
			vectors[len(vectors)-1][k] = float32(math.Sin(float64(31*i+7*k))) / 4
		}
	}
	vectors = append(vectors, nil) // without features
	const marked = 3
	front := representatives(vectors, [][]float32{vectors[marked]})
	seen, lone := map[int]bool{}, 0
	for _, i := range front {
		if i >= groups*each {
			lone++
		} else {
			seen[i%groups] = true
		}
	}
	if len(front) > mostGroups || len(seen) != groups-1 || seen[marked] || lone > outliers {
		t.Errorf("%d representatives of %d groups, %d that are like none", len(front), len(seen), lone)
	}
	if first := front[:groups-1]; len(first) > 0 {
		for _, i := range first {
			if i >= groups*each {
				t.Errorf("%d, which is like none, stands in front of groups: %v", i, front)
			}
		}
	}
	again := representatives(vectors, [][]float32{vectors[marked]})
	if len(again) != len(front) || again[0] != front[0] {
		t.Errorf("another order of the same: %v, %v", front, again)
	}
	if few := representatives(vectors[:mostGroups], nil); few != nil {
		t.Errorf("representatives of %d: %v", mostGroups, few)
	}
}

// Representatives are those of the pictures that look least like a label, where all say how much they do.
func TestLessKnown(t *testing.T) {
	vectors, p := make([][]float32, 100), make([]float32, 100)
	for i := range vectors {
		vectors[i], p[i] = []float32{float32(i), 1}, float32(1+i)/100
	}
	vectors[3] = nil
	got := lessKnown(vectors, p)
	for i, v := range got {
		if kept := i <= 50 && i != 3; kept != (v != nil) {
			t.Errorf("vector %d: kept %v", i, v != nil)
		}
	}
	p[7] = 0
	if got := lessKnown(vectors, p); got[99] == nil {
		t.Error("without a p-value of each, half of them are left out")
	}
}

// What a picture's p-value was is kept beside it.
func TestPValueIsKept(t *testing.T) {
	f, err := Open(Config{Dir: t.TempDir(), Bytes: 1 << 20, Count: 20})
	if err != nil {
		t.Fatal(err)
	}
	var picture vision.Frame
	picture.Resize(4, 4)
	d := decision(time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), "bolt", 0.5)
	d.PValue, d.Signals = 0.25, &vision.Signals{Features: []float32{3, 4}}
	if err := f.Save(d, &picture, "uncertain", "abc"); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReview(f.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := r.List()
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	sum := ""
	if v, p := r.features(&all[0], &sum); p != 0.25 || v[0] != 0.6 || v[1] != 0.8 {
		t.Errorf("%v with a p-value of %g", v, p)
	}
}
