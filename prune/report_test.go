package prune

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vgg16se"
)

func reported() *Report {
	top1, top5 := 0.9, 0.99
	return &Report{Schema: ReportSchema, Tool: "a test", Bundle: "parts 1", Source: strings.Repeat("ab", 32),
		Asked:   "2x",
		Machine: "a <machine> & its kernels", Runtime: "1.0", Fitted: 100, HeldOut: 25, Labelled: true,
		Before: Size{"before", 4_000_000, 1000, 8_000_000}, After: Size{"after", 2_000_000, 400, 3_000_000},
		Layers: []LayerReport{{Layer: "features.0", Before: 16, After: 8, BeforeMS: 0.5, AfterMS: 0.25}},
		Ways: []Way{{Name: "as it was", Agreement: 1, Top1: &top1, Top5: &top5},
			{Name: "pruned", Agreement: 0.95, Top1: &top1, Top5: &top5, Lost: 0.012, LostHalf: 0.004}},
		Latency: Latency{Before: 2, After: 1, Speedup: 2, BestSpeedup: 2, Runs: 10},
		Seconds: map[string]float64{"fit": 1.5}}
}

// The page says what the report holds, in the reader's units, and text of others does not become
// markup.
func TestWriteHTML(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Report)
		want   []string
		not    []string
	}{
		{"labelled", func(*Report) {}, []string{"parts 1", "2.00×", "2.67×", "1.20 ± 0.40", "points of top-1 lost",
			"8 of 16",
			"width:50.0%", "a &lt;machine&gt; &amp; its kernels", "&#43;0.00", "-1.20", "90.00 %"},
			[]string{"<machine>", "none labelled", "The gate was missed"}},
		{"not labelled", func(r *Report) {
			r.Labelled = false
			for i := range r.Ways {
				r.Ways[i].Top1, r.Ways[i].Top5 = nil, nil
			}
		}, []string{"none labelled", "of agreement lost"}, []string{"of top-1 lost"}},
		{"missed", func(r *Report) { r.Missed = []string{"3 points are lost"} },
			[]string{"The gate was missed; no bundle was written.", "3 points are lost"}, nil},
	} {
		r := reported()
		tt.change(r)
		var page bytes.Buffer
		if err := WriteHTML(&page, r); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(page.String(), want) {
				t.Errorf("%s: the page does not say %q", tt.name, want)
			}
		}
		for _, not := range tt.not {
			if strings.Contains(page.String(), not) {
				t.Errorf("%s: the page says %q", tt.name, not)
			}
		}
	}
}

// What is not known is left out of report.json.
func TestReportJSON(t *testing.T) {
	r := reported()
	r.Ways[0].Top1, r.Ways[0].Top5 = nil, nil
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || back.Ways[0].Top1 != nil || *back.Ways[1].Top1 != 0.9 ||
		back.After != r.After || back.Latency != r.Latency || back.Missed != nil {
		t.Errorf("%v: %s", err, text)
	}
	if strings.Contains(string(text), "missed") || strings.Count(string(text), `"top1"`) != 1 {
		t.Errorf("unknown things are written: %s", text)
	}
}

// A layer's time is by what it takes in and puts out: one that only has fewer inputs is faster,
// too.
func TestLayers(t *testing.T) {
	s := synthetic()
	p := Plan(full(s))
	p[0] = upTo(8)
	for _, l := range s.Layers(p) {
		if l.BeforeMS != 0 || l.AfterMS != 0 {
			t.Errorf("%s: times %g and %g without any measured", l.Layer, l.BeforeMS, l.AfterMS)
		}
	}
	for k, g := range s.groups {
		lt := layerTime{full: 0.002, step: 8, out: proportional(g.width, 8)}
		if k > 0 {
			lt.in = proportional(s.groups[k-1].width, 8)
		}
		s.times = append(s.times, lt)
	}
	layers := s.Layers(p)
	for i, want := range []float64{1, 1, 2} { // of 16, 16 and 32 channels
		if l := layers[i]; l.Before != s.groups[i].width || l.After != len(p[i]) || l.BeforeMS != 2 ||
			l.AfterMS != want {
			t.Errorf("layer %d: %+v, want %g of 2 ms", i, l, want)
		}
	}
}

// The size is that of the file to the byte, and of the architecture as it is now.
func TestSizeOf(t *testing.T) {
	a := vgg16se.Architecture{InputSize: 32, Width: 0.125, Reduction: 4, Hidden: 24, PoolSize: 2, Classes: 7}
	m, err := a.Graph(vgg16se.Seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Graph.Initializers { // as a file holds them
		p := &m.Graph.Initializers[i]
		if p.Source == nil {
			continue
		}
		var data bytes.Buffer
		if err := p.Source(&data); err != nil {
			t.Fatal(err)
		}
		p.Data, p.Source = data.Bytes(), nil
	}
	n, err := NewVGG(a, m)
	if err != nil {
		t.Fatal(err)
	}
	macs, _ := a.MACs()
	parameters, _ := a.Parameters()
	size, err := SizeOf(n)
	if err != nil || size.MACs != macs || size.Parameters != parameters || size.Bytes < 4*parameters ||
		size.Bytes > 4*parameters+1<<16 {
		t.Errorf("%+v, %v; want %d multiply-adds, %d parameters", size, err, macs, parameters)
	}
	g := groups(n.Arch, &m.Graph)
	cut := n.clone()
	cut.cut(&g[3], upTo(8), nil, nil)
	less, err := SizeOf(cut)
	if err != nil || less.MACs >= size.MACs || less.Parameters >= size.Parameters || less.Bytes >= size.Bytes {
		t.Errorf("with half of the channels of a layer: %+v, %v", less, err)
	}
	if again, _ := SizeOf(n); again != size {
		t.Errorf("cutting a clone changed what it was made of: %+v", again)
	}
}
