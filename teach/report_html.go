package teach

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/internal/round"
)

//go:embed report.html.tmpl
var page string

// WriteHTML writes the report as one page that needs nothing else.
func WriteHTML(w io.Writer, r *Report) error {
	funcs := eval.PageFuncs()
	funcs["curve"] = curveOf
	funcs["points"] = func(share float64) string { return fmt.Sprintf("%.1f points", 100*share) }
	funcs["isNew"] = func(label string) bool { return slices.Contains(r.Added, label) }
	t, err := template.New("report").Funcs(funcs).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

// Size of the learning curve, in pixels of the drawing.
const curveWidth, curveHeight, curveLeft, curveFoot = 480, 200, 60, 30

// drawing is the learning curve as a line with its intervals.
type drawing struct {
	Width, Height, Left, Bottom, Right int
	Line                               string // of the polyline
	Points                             []drawn
	Low, High                          float64 // of the axis
}

type drawn struct {
	X, Y, Low, High float64
	Pictures        int
	Text            string
}

// curveOf places the points of a learning curve: the axis reaches from the lowest interval, rounded
// down to ten points, to 100 %.
func curveOf(points []Point) *drawing {
	d := &drawing{Width: curveWidth, Height: curveHeight, Left: curveLeft, Bottom: curveHeight - curveFoot,
		Right: curveWidth - 20, Low: 1, High: 1}
	for _, p := range points {
		d.Low = min(d.Low, float64(int(10*p.Top1.Low))/10)
	}
	if d.Low >= 1 {
		d.Low = 0.9
	}
	y := func(v float64) float64 {
		return float64(d.Bottom) - (v-d.Low)/(d.High-d.Low)*float64(d.Bottom-10)
	}
	for _, p := range points {
		x := float64(d.Left) + p.Share*float64(d.Right-d.Left)
		d.Points = append(d.Points, drawn{x, y(p.Top1.Value), y(p.Top1.Low), y(p.Top1.High), p.Pictures,
			fmt.Sprintf("%s: %.1f %%", round.Pictures(p.Pictures), 100*p.Top1.Value)})
		d.Line += fmt.Sprintf("%.1f,%.1f ", x, y(p.Top1.Value))
	}
	return d
}
