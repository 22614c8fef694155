package prune

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
)

// ReportSchema names the layout of report.json.
const ReportSchema = "vggse.pruning/1"

// Report is everything a pruning found out.
type Report struct {
	Schema   string             `json:"schema"`
	Tool     string             `json:"tool"`
	Bundle   string             `json:"bundle"` // name and version
	Source   string             `json:"source_sha256"`
	Asked    string             `json:"asked"` // 2x, 0.5pt
	Machine  string             `json:"machine"`
	Runtime  string             `json:"onnxruntime"`
	Fitted   int                `json:"fitted_pictures"`
	HeldOut  int                `json:"held_out_pictures"`
	Labelled bool               `json:"labelled"`
	Before   Size               `json:"before"`
	After    Size               `json:"after"`
	Layers   []LayerReport      `json:"layers"`
	Ways     []Way              `json:"ways"` // the network that was, this one, and others of its widths
	Latency  Latency            `json:"latency"`
	Seconds  map[string]float64 `json:"seconds"`
	// what the processor worked in that time, all of its cores
	Processor map[string]float64 `json:"processor_seconds"`
	Missed    []string           `json:"missed,omitempty"`
}

// Size is how large a network is.
type Size struct {
	Architecture string `json:"architecture"`
	MACs         int64  `json:"macs"`
	Parameters   int64  `json:"parameters"`
	Bytes        int64  `json:"bytes"`
}

// LayerReport is what became of a layer's channels, and of its time alone, one picture and one
// thread, as Measure found it.
type LayerReport struct {
	Layer       string  `json:"layer"`
	Before      int     `json:"before"`
	After       int     `json:"after"`
	Sensitivity float64 `json:"sensitivity"`
	BeforeMS    float64 `json:"before_ms"`
	AfterMS     float64 `json:"after_ms"`
}

// Way is a network judged on pictures that no choice has seen. Lost and the half of its 95 %
// interval are of the same pictures, in shares; of top-1 where labels are known, else of agreement.
type Way struct {
	Name      string   `json:"name"`
	Agreement float64  `json:"agreement"`
	Top1      *float64 `json:"top1,omitempty"`
	Top5      *float64 `json:"top5,omitempty"`
	Lost      float64  `json:"lost"`
	LostHalf  float64  `json:"lost_half"`
}

// Latency is one run of each network in turn, one thread: medians, their ratio, and that of the
// shortest runs.
type Latency struct {
	Before      float64 `json:"before_ms"`
	After       float64 `json:"after_ms"`
	Speedup     float64 `json:"speedup"`
	BestSpeedup float64 `json:"best_speedup"`
	Runs        int     `json:"runs"`
}

// SizeOf measures n.
func SizeOf(n *VGG) (Size, error) {
	bytes, err := n.Bytes()
	macs, _ := n.Arch.MACs()
	parameters, _ := n.Arch.Parameters()
	return Size{n.Arch.String(), macs, parameters, bytes}, err
}

// Layers reports the groups of a study under a plan.
func (s *Analysis) Layers(p Plan) []LayerReport {
	var all []LayerReport
	was, is := 0, 0 // channels that the layer takes in
	for i, g := range s.Groups {
		l := LayerReport{Layer: g.Layer, Before: g.Width, After: len(p[i]), Sensitivity: g.Sensitivity}
		if s.times != nil {
			l.BeforeMS, l.AfterMS = milliseconds(s.times[i].of(was, l.Before)), milliseconds(s.times[i].of(is, l.After))
		}
		was, is = l.Before, l.After
		all = append(all, l)
	}
	return all
}

// milliseconds, to a tenth of a microsecond.
func milliseconds(seconds float64) float64 { return math.Round(1e7*seconds) / 1e4 }

// MACs are those of the network as it is.
func (s *Analysis) MACs() int64 {
	all, _ := s.network.Arch.MACs()
	return all
}

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

// functions are what the page computes.
var functions = template.FuncMap{
	"percent": func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) },
	"points":  func(v float64) string { return fmt.Sprintf("%.2f", 100*v) },
	"fixed":   func(digits int, v float64) string { return fmt.Sprintf("%.*f", digits, v) },
	"mb":      func(n int64) string { return fmt.Sprintf("%.2f", float64(n)/1e6) },
	"million": func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) },
	"times":   func(a, b int64) string { return fmt.Sprintf("%.2f×", float64(a)/float64(b)) },
	"share":   func(a, b int) string { return fmt.Sprintf("%.1f", 100*float64(a)/float64(b)) },
	"signed":  func(v float64) string { return fmt.Sprintf("%+.2f", 0-100*v) },
}
