package quant

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// Plan is everything that decides the bytes of a quantized file.
type Plan struct {
	Method  Method     `json:"method"`
	Levels  int        `json:"levels"` // LevelsU8 or LevelsS8
	Bits    WeightBits `json:"weight_bits"`
	Picture [2]float64 `json:"picture"` // smallest and largest value that preprocessing can give
	Choices []Choice   `json:"tensors"` // of every site but the picture
	Float   []string   `json:"float"`   // layers that stay in floating point
	SE      SEScheme   `json:"se,omitempty"`
	// SqueezeFloat keeps the means that gates are worked out of in float. The CPU file has them in
	// 8 bits else: a mean of integers needs no map in float.
	SqueezeFloat bool `json:"squeeze_float,omitempty"`
	// SumsFloat keeps the sums of two branches in float: what a branch adds is not rounded again and
	// again on its way through the network.
	SumsFloat bool `json:"sums_float,omitempty"`
	// Bias is what is added to a layer's bias for what rounding its weights does to the mean of its
	// outputs.
	Bias map[string][]float32 `json:"bias_correction,omitempty"`
}

// Summary is the plan in a line, for the file that is made by it: everything but the ranges, which
// stand in the file itself, and the corrected biases, which do so, too.
func (p *Plan) Summary(equalized bool) string {
	float := slices.Sorted(slices.Values(p.Float))
	return fmt.Sprintf("levels=%d float=[%s] gates=%s squeezes=%s sums=%s equalized=%t biases-corrected=%t",
		p.Levels, strings.Join(float, " "), kept(p.SE == SEGateFloat || p.Levels == LevelsS8),
		kept(p.SqueezeFloat || p.Levels == LevelsS8), kept(p.SumsFloat || p.Levels == LevelsS8),
		equalized, len(p.Bias) > 0)
}

func kept(float bool) string {
	if float {
		return "float"
	}
	return "int8"
}

// same tells whether the plan of another method for the same network makes the same file.
func (p *Plan) same(o *Plan) bool {
	return slices.EqualFunc(p.Choices, o.Choices, func(a, b Choice) bool {
		return a.Threshold == b.Threshold && a.Low == b.Low && a.High == b.High
	})
}

// SEScheme says what a squeeze-excitation block multiplies. Without one the emitter knows best:
// 8-bit numbers on the CPU, where a product in float breaks the chain of integer operators, and
// float in TensorRT.
type SEScheme string

// SEGateFloat keeps the gates in float: their rounding hits whole channels.
const SEGateFloat SEScheme = "gate-float"

// PictureRange is the smallest and largest value that p makes of a byte: the picture's own range,
// which no collection has to find and nothing ever exceeds.
func PictureRange(p *vision.Preprocess) [2]float64 {
	lo, hi := math.Inf(1), math.Inf(-1)
	for c := range 3 {
		for _, v := range []float64{0, 255} {
			x := (v*p.Scale - p.Mean[c]) / p.Std[c]
			lo, hi = min(lo, x), max(hi, x)
		}
	}
	return [2]float64{min(lo, 0), max(hi, 0)} // 0 is what a convolution pads with
}

// code is how a site is stored: value = (code − Zero)·Scale.
type code struct {
	scale float32
	zero  int
	kind  onnx.DataType // Uint8 or Int8
}

// codes gives every site its code.
func (p *Plan) codes(n *Graph) ([]code, error) {
	if len(p.Choices) != len(n.Sites)-1 {
		return nil, fmt.Errorf("quant: the plan is for %d tensors, the network has %d", len(p.Choices), len(n.Sites)-1)
	}
	lo, hi := p.Picture[0], p.Picture[1]
	codes := make([]code, 0, len(n.Sites))
	if p.Levels == LevelsU8 {
		s := (hi - lo) / LevelsU8
		codes = append(codes, code{float32(s), int(math.RoundToEven(-lo / s)), onnx.Uint8})
	} else {
		codes = append(codes, code{float32(max(-lo, hi) / LevelsS8), 0, onnx.Int8})
	}
	for i, ch := range p.Choices {
		if ch.Site != n.Sites[i+1].Name || !(ch.Threshold > 0) {
			return nil, fmt.Errorf("quant: the plan keeps %g of %s where the network has %s", ch.Threshold, ch.Site,
				n.Sites[i+1].Name)
		}
		if ch.Low < 0 && p.Levels == LevelsU8 {
			s := (ch.High - ch.Low) / LevelsU8
			codes = append(codes, code{float32(s), int(math.RoundToEven(-ch.Low / s)), onnx.Uint8})
			continue
		}
		codes = append(codes, code{float32(ch.Threshold / float64(p.Levels)), 0, codes[0].kind})
	}
	return codes, nil
}

// integer tells whether the layer runs on integers: in a file for TensorRT the last one never does,
// its few weights decide.
func (p *Plan) integer(l *Layer) bool {
	return !slices.Contains(p.Float, l.Name) && !(p.Levels == LevelsS8 && l.Last)
}
