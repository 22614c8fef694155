package quant

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/eval"
)

//go:embed report.html.tmpl
var page string

// WriteHTML writes the report as one page that needs nothing else.
func WriteHTML(w io.Writer, r *Report) error {
	t, err := template.New("report").Funcs(functions).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

// Size of the drawing of a Curve in its own units.
const (
	drawWidth  = 240.0
	drawHeight = 64.0
)

// functions are what the page computes; the markup is all its own.
var functions = template.FuncMap{
	"percent":  func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) },
	"interval": func(s eval.Share) string { return fmt.Sprintf("%.2f–%.2f", 100*s.Low, 100*s.High) },
	"points":   func(v, before float64) string { return fmt.Sprintf("%+.2f", 100*(v-before)) },
	"fixed":    func(digits int, v float64) string { return fmt.Sprintf("%.*f", digits, v) },
	"mb":       func(n int64) string { return fmt.Sprintf("%.2f", float64(n)/1e6) },
	"outline":  outline,
	"mark": func(c Curve, m Method) string {
		return fmt.Sprintf("%.1f", min(1, c.Thresholds[m]/c.Max)*drawWidth)
	},
	"methods": func() []Method { return Methods },
	"meter":   func(db float64) string { return fmt.Sprintf("%.1f", max(0, min(100, db/60*100))) },
	"grade":   grade,
	"ranked":  ranked,
	"best": func(r *Report) *FileReport { // nil where no file was made
		if len(r.Files) == 0 {
			return nil
		}
		return &r.Files[0]
	},
	"kindsOf": kindsOf,
	"gains":   gains,
	"gainBar": func(db, most float64) string { return fmt.Sprintf("%.1f", max(0, min(100, db/max(most, 0.1)*100))) },
}

// kind is what was tried for one of the two kinds of codes.
type kind struct {
	Title  string
	Tried  []Trial
	Passes []Pass
}

// kindsOf are the trials and passes of the report, by kind of code.
func kindsOf(r *Report) []kind {
	kinds := []kind{{Title: "CPU: codes 0 to 255"}, {Title: "TensorRT: codes −127 to 127"}}
	for i, levels := range []int{LevelsU8, LevelsS8} {
		for _, t := range r.Tried {
			if t.Levels == levels {
				kinds[i].Tried = append(kinds[i].Tried, t)
			}
		}
		for _, p := range r.Passes {
			if p.Levels == levels {
				kinds[i].Passes = append(kinds[i].Passes, p)
			}
		}
	}
	return kinds
}

// gain is what keeping one thing in floating point brings alone.
type gain struct {
	Name string
	DB   float64
	Most float64 // of all
	Kept bool
}

// gains are those of a search, the largest first.
func gains(s Searched) []gain {
	var all []gain
	most, before := 0.0, 0.0
	for _, step := range s.Steps {
		if step.What == "before" {
			before = step.SQNR
		}
		if step.What == "alone" || step.What == "neighbours" {
			db := step.SQNR - before
			most = max(most, db)
			name := step.Names[0]
			if more := len(step.Names) - 1; more > 0 {
				name = fmt.Sprintf("%s and the %d behind it", name, more)
			}
			all = append(all, gain{Name: name, DB: db, Kept: !slices.ContainsFunc(step.Names,
				func(n string) bool { return !slices.Contains(s.Changes, n) })})
		}
	}
	for i := range all {
		all[i].Most = most
	}
	slices.SortStableFunc(all, func(a, b gain) int { return cmp.Compare(b.DB, a.DB) })
	return all
}

// outline is the area under a Curve as an SVG path, its heights logarithms: tails are what matters.
func outline(c Curve) string {
	highest := math.Log1p(float64(slices.Max(c.Counts)))
	if highest == 0 {
		return ""
	}
	var d strings.Builder
	fmt.Fprintf(&d, "M0 %.1f", drawHeight)
	step := drawWidth / float64(len(c.Counts))
	for i, n := range c.Counts {
		y := drawHeight * (1 - math.Log1p(float64(n))/highest)
		fmt.Fprintf(&d, "L%.1f %.1fL%.1f %.1f", float64(i)*step, y, float64(i+1)*step, y)
	}
	fmt.Fprintf(&d, "L%.1f %.1fZ", drawWidth, drawHeight)
	return d.String()
}

// grade says in a word how good a ratio of signal to noise is.
func grade(db float64) string {
	switch {
	case db >= 30:
		return "good"
	case db >= 20:
		return "fair"
	}
	return "poor"
}

// ranked are the layers, the farthest from FP32 first.
func ranked(layers []LayerReport) []LayerReport {
	sorted := slices.Clone(layers)
	slices.SortStableFunc(sorted, func(a, b LayerReport) int {
		switch {
		case a.SQNR < b.SQNR:
			return -1
		case a.SQNR > b.SQNR:
			return 1
		}
		return 0
	})
	return sorted
}
