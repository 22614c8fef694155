package quant

import (
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
)

// ReportSchema names the layout of report.json.
const ReportSchema = "vggse.calibration/1"

// Report is everything a calibration found out.
type Report struct {
	Schema   string              `json:"schema"`
	Tool     string              `json:"tool"`
	Bundle   string              `json:"bundle"` // name and version
	Source   string              `json:"source_sha256"`
	Pictures Pictures            `json:"pictures"`
	Machine  eval.Host           `json:"machine"`
	Findings []dataset.Finding   `json:"findings"`
	Method   Method              `json:"method"` // asked for
	Chosen   string              `json:"chosen"` // what the CPU file was made with
	Tried    []Trial             `json:"tried"`
	Searches map[string]Searched `json:"searches,omitempty"` // by file
	Passes   []Pass              `json:"passes,omitempty"`
	Plan     *Plan               `json:"plan"` // of the CPU file
	Signed   *Plan               `json:"plan_tensorrt"`
	Layers   []LayerReport       `json:"layers"`
	Map      []Precision         `json:"precisions"`
	Files    []FileReport        `json:"files"`
	Gate     Gate                `json:"gate"`
	Seconds  map[string]float64  `json:"seconds"` // by step
	// Processor is the time of the processor, by step: what a busy machine leaves as it is.
	Processor map[string]float64 `json:"processor_seconds"`
	Curves    []Curve            `json:"histograms"`
}

// Pictures says what was calibrated and judged on.
type Pictures struct {
	Calibration int    `json:"calibration"`
	Choice      int    `json:"choice"` // no range is from them; choices were made on them, and on more
	HeldOut     int    `json:"held_out"`
	SHA256      string `json:"sha256"` // of the digests of the calibration pictures, sorted
	Labelled    bool   `json:"labelled"`
}

// Trial is one way to choose all thresholds, judged on pictures that gave no ranges.
type Trial struct {
	Method Method     `json:"method"`
	Bits   WeightBits `json:"weight_bits"`
	SQNR   float64    `json:"logit_sqnr_db"`
	Same   eval.Share `json:"agreement"`
	Loss   float64    `json:"loss"` // of top-1 where labels are known, else of equal answers; a share
	Levels int        `json:"levels"`
	Kept   bool       `json:"kept"`
}

// Pass is something that was tried on a plan and kept only where it helped.
type Pass struct {
	Name   string  `json:"name"`
	Levels int     `json:"levels"`
	Before float64 `json:"before_db"` // logit SQNR on pictures that no range was collected from
	After  float64 `json:"after_db"`
	Kept   bool    `json:"kept"`
}

// LayerReport is how far a layer's output is from FP32 in the whole quantized network.
type LayerReport struct {
	Layer     string  `json:"layer"`
	SQNR      float64 `json:"sqnr_db"`       // accumulated: all before it quantized, too
	Alone     float64 `json:"alone_sqnr_db"` // of rounding this one tensor
	Precision string  `json:"precision"`
}

// Precision is what a layer computes in, file by file.
type Precision struct {
	Layer    string `json:"layer"`
	Op       string `json:"op"`
	CPU      string `json:"cpu"`        // int8.cpu.onnx: int8 or float32
	TensorRT string `json:"tensorrt"`   // int8.trt.onnx: int8 or float
	Strict   string `json:"tensorrt11"` // int8.trt11.onnx: int8 or float16
}

// Precisions is the map of a network's layers under the two plans.
func Precisions(n *Graph, cpu, signed *Plan) []Precision {
	var all []Precision
	for i := range n.Layers {
		l := &n.Layers[i]
		p := Precision{Layer: l.Name, Op: l.Op, CPU: "float32", TensorRT: "float", Strict: "float16"}
		if cpu != nil && cpu.integer(l) {
			p.CPU = "int8"
		}
		if signed != nil && signed.integer(l) {
			p.TensorRT, p.Strict = "int8", "int8"
		}
		all = append(all, p)
	}
	return all
}

// FileReport is one emitted file.
type FileReport struct {
	Key       string        `json:"key"`
	Path      string        `json:"path"`
	SHA256    string        `json:"sha256"`
	Bytes     int64         `json:"bytes"`
	Share     float64       `json:"share_of_fp32"` // of the bytes
	Proof     *Proof        `json:"proof,omitempty"`
	Verdict   *eval.Verdict `json:"verdict,omitempty"`
	Latency   *eval.Latency `json:"latency,omitempty"` // CPU provider, one thread
	Optimized bool          `json:"optimized"`         // proved and measured to be faster than FP32 here
	Notes     []string      `json:"notes,omitempty"`
}

// Gate is what had to be reached.
type Gate struct {
	MinAgreement float64  `json:"min_agreement"`
	Missed       []string `json:"missed,omitempty"`
	Worst        []string `json:"worst_layers,omitempty"`
}

// Curve is a histogram small enough to draw: counts of equal parts of [0, Max].
type Curve struct {
	Layer      string             `json:"layer"`
	Max        float64            `json:"max"`
	Counts     []uint64           `json:"counts"`
	Thresholds map[Method]float64 `json:"thresholds"`
	Chosen     Method             `json:"chosen"`
}

// curvePoints is how many parts a Curve has.
const curvePoints = 96

// Curves draws the histogram of every choice.
func Curves(c *Collection, choices []Choice) []Curve {
	var all []Curve
	for _, ch := range choices {
		h := c.Stats[ch.Site].Histogram
		curve := Curve{Layer: ch.Layer, Max: h.Amax(), Counts: make([]uint64, curvePoints), Thresholds: ch.Thresholds,
			Chosen: ch.Method}
		for i, n := range h.Counts[:h.cells()] {
			at := int((float64(i) + 0.5) * h.Width() / h.Amax() * curvePoints)
			curve.Counts[min(at, curvePoints-1)] += n
		}
		all = append(all, curve)
	}
	return all
}
