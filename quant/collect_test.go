package quant

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/vision"
)

// network is what there is to quantize in twoLayers.
func network(t *testing.T) *Graph {
	t.Helper()
	n, err := Analyse(twoLayers(0.5, 0.5), "x")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// collected is a collection of the network of the given pictures, each with one value everywhere.
func collected(t *testing.T, n *Graph, source string, pictures map[string]float32) *Collection {
	t.Helper()
	c := NewCollection(n, source)
	for digest, v := range pictures {
		for name, s := range c.Stats {
			s.Histogram.Add([]float32{v, v / 2})
			s.Sums = addSums(s.Sums, []int64{int64(v / sumUnit), 0, 0})
			s.Peaks = maxPeaks(s.Peaks, []float32{v, 0, 0})
			c.Stats[name] = s
		}
		c.Done = append(c.Done, digest)
		c.Images++
	}
	slices.Sort(c.Done)
	return c
}

// Two halves are the whole, whichever is added to which, and what it was made of is named by one
// digest.
func TestMergeIsTheWhole(t *testing.T) {
	n := network(t)
	whole := collected(t, n, "net", map[string]float32{"p1": 1, "p2": 3, "p3": 2})
	ab := collected(t, n, "net", map[string]float32{"p1": 1})
	ba := collected(t, n, "net", map[string]float32{"p3": 2, "p2": 3})
	b := collected(t, n, "net", map[string]float32{"p3": 2, "p2": 3})
	a := collected(t, n, "net", map[string]float32{"p1": 1})
	for name, got := range map[string]*Collection{"one and two": merged(t, ab, ba), "two and one": merged(t, b, a)} {
		if got.Images != 3 || !slices.Equal(got.Done, whole.Done) || got.Digest() != whole.Digest() {
			t.Errorf("%s: %d pictures, %v", name, got.Images, got.Done)
		}
		for site, s := range got.Stats {
			w := whole.Stats[site]
			if *s.Histogram != *w.Histogram || !slices.Equal(s.Sums, w.Sums) || !slices.Equal(s.Peaks, w.Peaks) {
				t.Errorf("%s: %s differs", name, site)
			}
		}
	}
}

func merged(t *testing.T, a, b *Collection) *Collection {
	t.Helper()
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	return a
}

// What does not belong together is refused, and nothing of it is added.
func TestMergeRefuses(t *testing.T) {
	n := network(t)
	for name, tt := range map[string]struct {
		other func() *Collection
		want  string
	}{
		"another network": {func() *Collection { return collected(t, n, "other", map[string]float32{"p9": 1}) },
			"of two networks"},
		"a picture twice": {func() *Collection { return collected(t, n, "net", map[string]float32{"p9": 1, "p1": 1}) },
			"it would count twice"},
		"a site that is missing": {func() *Collection {
			c := collected(t, n, "net", map[string]float32{"p9": 1})
			delete(c.Stats, n.Sites[1].Name)
			return c
		}, "the collections differ in " + n.Sites[1].Name},
		"other channels": {func() *Collection {
			c := collected(t, n, "net", map[string]float32{"p9": 1})
			s := c.Stats[n.Sites[1].Name]
			s.Sums = s.Sums[:1]
			c.Stats[n.Sites[1].Name] = s
			return c
		}, "the collections differ"},
	} {
		c := collected(t, n, "net", map[string]float32{"p1": 1, "p2": 2})
		before := c.Stats[n.Sites[1].Name].Histogram.Count()
		if err := c.Merge(tt.other()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want …%s…", name, err, tt.want)
		}
		if c.Images != 2 || len(c.Done) != 2 || c.Stats[n.Sites[1].Name].Histogram.Count() != before {
			t.Errorf("%s: something was added", name)
		}
	}
}

// A collection is useless where nothing was collected, or not numbers, or what no ReLU puts out.
func TestCollectionCheck(t *testing.T) {
	n := network(t)
	for want, values := range map[string][]float32{"NaN or infinity 1 times": {1, float32(math.NaN())},
		"negative values": {-1, 1}, "": {0, 1, 2}} {
		c := collected(t, n, "net", map[string]float32{"p1": 1})
		c.Stats[n.Sites[1].Name].Histogram.Add(values)
		if err := c.Check(n); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", values, err, want)
		}
	}
	if err := NewCollection(n, "net").Check(n); err == nil || !strings.Contains(err.Error(), "no pictures") {
		t.Errorf("an empty one: %v", err)
	}
}

// A layer is said to be dead where more than half of its channels never rise above zero.
func TestDead(t *testing.T) {
	n := network(t)
	for _, tt := range []struct {
		peaks []float32
		want  string
	}{{[]float32{1, 2, 3}, ""}, {[]float32{0, 2, 3}, ""}, {[]float32{0, 0, 3}, "2 of 3 channels"}, {nil, ""},
		{[]float32{0, 0, 1, 1}, ""}, {[]float32{0}, "1 of 1 channels"}} {
		c := NewCollection(n, "net")
		c.Stats[n.Sites[1].Name] = Stats{Histogram: NewHistogram(), Peaks: tt.peaks}
		found := c.Dead(n)
		if len(found) == 0 != (tt.want == "") || len(found) > 0 && (!strings.HasPrefix(found[0].Evidence, tt.want) ||
			found[0].Cure == "") {
			t.Errorf("%v: %+v, want %q", tt.peaks, found, tt.want)
		}
	}
}

// atWork is a calibration that has come as far as its pictures.
func atWork(t *testing.T) *calibration {
	t.Helper()
	c := &calibration{report: Report{Source: "net"}, dir: t.TempDir()}
	c.source.network = network(t)
	c.held = &evaluated{set: dataset.New([]dataset.Picture{{SHA256: "held"}}, vision.Torchvision(8), 8, 0)}
	return c
}

// A collection is taken up from its file, where there is one that fits; keep writes it there.
func TestResume(t *testing.T) {
	c := atWork(t)
	if got, err := c.resume(); err != nil || got.Images != 0 || got.Source != "net" {
		t.Errorf("without a file: %+v, %v", got, err)
	}
	if err := c.keep(); err != nil {
		t.Errorf("nowhere to keep it: %v", err)
	}
	c.Collection = filepath.Join(t.TempDir(), "kept.json")
	if got, err := c.resume(); err != nil || got.Images != 0 {
		t.Errorf("a file that is not there yet: %+v, %v", got, err)
	}
	c.source.collected = collected(t, c.source.network, "net", map[string]float32{"p1": 1, "p2": 2})
	if err := c.keep(); err != nil {
		t.Fatal(err)
	}
	got, err := c.resume()
	if err != nil || got.Images != 2 || got.Digest() != c.source.collected.Digest() {
		t.Fatalf("taken up: %+v, %v", got, err)
	}
	for site, s := range got.Stats {
		if *s.Histogram != *c.source.collected.Stats[site].Histogram {
			t.Errorf("%s came back otherwise", site)
		}
	}
}

// A collection that would spoil this calibration is refused, and its file named.
func TestResumeRefuses(t *testing.T) {
	c := atWork(t)
	c.Collection = filepath.Join(t.TempDir(), "kept.json")
	for want, kept := range map[string]*Collection{
		"of two networks":                collected(t, c.source.network, "other", map[string]float32{"p1": 1}),
		"pictures that are to be judged": collected(t, c.source.network, "net", map[string]float32{"p1": 1, "held": 1}),
	} {
		text, err := json.Marshal(kept)
		if err == nil {
			err = os.WriteFile(c.Collection, text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.resume(); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "--collection "+c.Collection) {
			t.Errorf("%v, want …%s…", err, want)
		}
	}
	if err := os.WriteFile(c.Collection, []byte("[]"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.resume(); err == nil || !strings.Contains(err.Error(), "is no collection") {
		t.Errorf("a file of something else: %v", err)
	}
}
