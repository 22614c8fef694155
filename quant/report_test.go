package quant

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
)

// reported is a small report with something of everything.
func reported() *Report {
	share := eval.NewShare(99, 100)
	top1, before := eval.NewShare(90, 100), eval.NewShare(92, 100)
	return &Report{Schema: ReportSchema, Bundle: "parts <1>", Method: Auto, Chosen: "mse",
		Pictures: Pictures{Calibration: 64, Choice: 16, HeldOut: 20, Labelled: true},
		Findings: []dataset.Finding{{Check: "few", Evidence: "64 pictures", Cure: "take more"}},
		Tried: []Trial{{Method: MSE, Levels: LevelsU8, SQNR: 31, Kept: true}, {Method: MinMax, Levels: LevelsS8,
			SQNR: 25}},
		Passes: []Pass{{Name: "corrected biases", Levels: LevelsU8, Before: 31, After: 32, Kept: true}},
		Plan:   &Plan{Method: MSE, Bits: Bits7}, Signed: &Plan{},
		Layers: []LayerReport{{Layer: "one", SQNR: 40}, {Layer: "two", SQNR: 15}},
		Files: []FileReport{{Key: "int8.cpu", Path: "int8.cpu.onnx", Bytes: 2_500_000, Share: 0.25,
			Verdict: &eval.Verdict{Images: 100, Agreement: share, Top1: &top1, Top1FP32: &before, SQNR: 31}}},
		Curves: []Curve{{Layer: "one", Max: 4, Counts: []uint64{9, 3, 1, 0},
			Thresholds: map[Method]float64{MinMax: 4, MSE: 2, Entropy: 3, Percentile: 5}, Chosen: MSE}}}
}

// The page says what the report holds; names of others do not become markup.
func TestWriteHTML(t *testing.T) {
	for _, tt := range []struct {
		name      string
		change    func(*Report)
		want, not []string
	}{
		{"whole", func(*Report) {}, []string{"parts &lt;1&gt;", "64 pictures to calibrate on, 20 others", "99.00 %",
			"2.50 MB", "25.00 %", "-2.00", "corrected biases ✓", "take more", "weights of 7 bits"},
			[]string{"<1>", "none labelled", "The gate was missed"}},
		{"missed", func(r *Report) { r.Gate.Missed = []string{"98 % are too few"} },
			[]string{"The gate was missed; no model was activated.", "98 % are too few"}, nil},
		{"not labelled", func(r *Report) {
			r.Pictures.Labelled = false
			r.Files[0].Verdict.Top1, r.Files[0].Verdict.Top1FP32 = nil, nil
		}, []string{", none labelled"}, []string{"-2.00"}},
		{"in the order of the other file", func(r *Report) {
			r.Searches = map[string]Searched{"int8.trt": {Order: []string{"conv1", "conv2"}, Held: true,
				Changes: []string{"conv2"}, Steps: []Step{{What: "start"}, {What: "together"}}}}
		}, []string{"in the order of the other file, 2 evaluations. Kept in float", "<code>conv2</code>"},
			[]string{"nothing was tried", "<code>conv1</code>"}},
		{"no file", func(r *Report) { r.Files, r.Layers = nil, nil }, []string{"What looked odd"},
			[]string{"int8.cpu.onnx"}},
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

// Trials and passes stand under their kind of codes, layers the worst first, gains the largest
// first.
func TestReportOrder(t *testing.T) {
	r := reported()
	kinds := kindsOf(r)
	if len(kinds) != 2 || len(kinds[0].Tried) != 1 || len(kinds[0].Passes) != 1 || len(kinds[1].Tried) != 1 ||
		len(kinds[1].Passes) != 0 || kinds[1].Tried[0].Method != MinMax {
		t.Errorf("%+v", kinds)
	}
	if worst := ranked(r.Layers); worst[0].Layer != "two" || r.Layers[0].Layer != "one" {
		t.Errorf("%+v, the report itself %+v", worst, r.Layers)
	}
	all := gains(Searched{Changes: []string{"b"}, Steps: []Step{{What: "start", SQNR: 12}, // of the hardest
		{What: "before", SQNR: 20},
		{What: "alone", Names: []string{"a"}, SQNR: 21}, {What: "alone", Names: []string{"b"}, SQNR: 26},
		{What: "alone", Names: []string{"c"}, SQNR: 19}, {What: "together", Names: []string{"a", "b"}, SQNR: 27}}})
	want := []gain{{"b", 6, 6, true}, {"a", 1, 6, false}, {"c", -1, 6, false}}
	if !slices.Equal(all, want) {
		t.Errorf("%+v, want %+v", all, want)
	}
}

func TestGrade(t *testing.T) {
	for db, want := range map[float64]string{35: "good", 30: "good", 29.9: "fair", 20: "fair", 19.9: "poor",
		-3: "poor"} {
		if got := grade(db); got != want {
			t.Errorf("%g dB: %s, want %s", db, got, want)
		}
	}
}

// The outline begins and ends on the ground; an empty histogram has none.
func TestOutline(t *testing.T) {
	d := outline(Curve{Counts: []uint64{7, 0}})
	if d != "M0 64.0L0.0 0.0L120.0 0.0L120.0 64.0L240.0 64.0L240.0 64.0Z" {
		t.Errorf("%s", d)
	}
	if d := outline(Curve{Counts: make([]uint64, 4)}); d != "" {
		t.Errorf("of nothing: %s", d)
	}
}

// A curve holds every value but the zeros, in even parts of what was seen.
func TestCurves(t *testing.T) {
	n := network(t)
	c := NewCollection(n, "net")
	c.Stats[n.Sites[1].Name].Histogram.Add([]float32{0, 0.1, 1, 2, 3.99, 4})
	curve := Curves(c, []Choice{{Site: n.Sites[1].Name, Layer: "one", Method: MSE}})[0]
	total := uint64(0)
	for _, k := range curve.Counts {
		total += k
	}
	if total != 5 || curve.Max != 4 || len(curve.Counts) != curvePoints || curve.Counts[curvePoints/4] != 1 ||
		curve.Counts[curvePoints-1] != 2 || curve.Chosen != MSE {
		t.Errorf("%d values, %+v", total, curve)
	}
}

// Layers that the plans keep in integers are said to be so, file by file.
func TestPrecisions(t *testing.T) {
	n := network(t)
	n.Layers[1].Last = true
	all := Precisions(n, &Plan{Levels: LevelsU8, Float: []string{n.Layers[0].Name}}, &Plan{Levels: LevelsS8})
	a, b := all[0], all[1]
	if a.CPU != "float32" || a.TensorRT != "int8" || a.Strict != "int8" || b.CPU != "int8" || b.TensorRT != "float" ||
		b.Strict != "float16" {
		t.Errorf("%+v", all)
	}
}

// How far a layer is off is counted over all of its values; one in float is called so.
func TestLayerReports(t *testing.T) {
	power, noise := differences([]float32{3, 4}, []float32{3, 2}, 0)
	if power != 25 || noise != 4 {
		t.Errorf("power %g, noise %g", power, noise)
	}
	n := network(t)
	p := &Plan{Levels: LevelsU8, Float: []string{n.Layers[1].Name},
		Choices: []Choice{{Site: n.Sites[1].Name, Method: MSE,
			SQNR: map[Method]float64{MSE: 44, MinMax: 11}}}}
	all := p.layerReports(n, n.Sites[1:], []float64{100, 100}, []float64{1, 0})
	if len(all) != 2 || math.Abs(all[0].SQNR-20) > 1e-9 || all[0].Alone != 44 || all[0].Precision != "int8" ||
		all[1].SQNR != 200 || all[1].Precision != "float32" {
		t.Errorf("%+v", all)
	}
}
