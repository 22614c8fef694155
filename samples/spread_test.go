package samples

import (
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
