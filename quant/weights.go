package quant

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/vggse/vggse-agent/onnx"
)

// WeightBits says how finely weights are stored.
type WeightBits string

// The kinds of weights. On x86 without VNNI the 8-bit product of ONNX Runtime adds two neighbouring
// products u8·s8 in 16 bits, saturating (VPMADDUBSW): 255·(127+127) does not fit.
const (
	Bits8    WeightBits = "8"          // ±127
	Bits7    WeightBits = "7"          // ±64: no pair can saturate; what others call reduce_range
	BitsPair WeightBits = "8-pairwise" // ±127, but no two neighbours of one sign exceed 128 together
)

// pairLimit is the most that two neighbours may add up to: 255·128 = 32640 fits in 16 bits.
const pairLimit = 128

// weights are the float32 values of a constant, read in place.
type weights []byte

func (w weights) at(i int) float64 {
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(w[4*i:])))
}

// filter gives the values of one output channel in the order in which a convolution multiplies
// them: channels innermost (ONNX Runtime convolves integers in NHWC). For a matrix that is the
// order in the file.
type filter struct {
	values         weights
	channels, area int
}

// filters cuts a weight O×C×K×K or O×I into its output channels.
func filters(t *onnx.Tensor) []filter {
	out, channels, area := int(t.Dims[0]), int(t.Dims[1]), 1
	for _, d := range t.Dims[2:] {
		area *= int(d)
	}
	all := make([]filter, out)
	for o := range all {
		all[o] = filter{weights(t.Data[4*o*channels*area:][:4*channels*area]), channels, area}
	}
	return all
}

func (f *filter) len() int { return f.channels * f.area }

// inner is the i-th value, channels innermost.
func (f *filter) inner(i int) float64 { return f.values.at(i%f.channels*f.area + i/f.channels) }

// deadScale is the scale of a channel of zeros.
const deadScale = 0x1p-100

// scale is the scale of one output channel: the largest weight, and with BitsPair the largest pair,
// get the largest codes. A channel of zeros gets the smallest scale that is safe.
func (f *filter) scale(bits WeightBits) float64 {
	largest, pair := 0.0, 0.0
	for i := range f.len() {
		largest = max(largest, math.Abs(f.values.at(i)))
	}
	codes := 127.0
	switch bits {
	case Bits7:
		codes = 64
	case BitsPair:
		for i := 0; i+1 < f.len(); i += 2 {
			pair = max(pair, math.Abs(f.inner(i)+f.inner(i+1)))
		}
	}
	return max(largest/codes, pair/(pairLimit-1), deadScale) // rounding adds at most 1 to a pair
}

// weightScales are the scales of all output channels as they stand in a file: float32, and no
// smaller than the bias b·scale⁻¹·in⁻¹ needs to fit in 32 bits with room for what is added to it.
func weightScales(t, bias *onnx.Tensor, in float64, bits WeightBits) []float32 {
	scales := make([]float32, t.Dims[0])
	for o, f := range filters(t) {
		s := f.scale(bits)
		if bias != nil {
			s = max(s, math.Abs(weights(bias.Data).at(o))/(in*(1<<30)))
		}
		scales[o] = float32(s)
	}
	return scales
}

// int8Weights is the content of a weight in codes, one channel after the other.
func int8Weights(t *onnx.Tensor, scales []float32, bits WeightBits) onnx.Source {
	limit := 127.0
	if bits == Bits7 {
		limit = 64
	}
	return codesOf(t, func(o int,
		v float64) float64 {
		return max(-limit, min(limit, math.RoundToEven(v/float64(scales[o]))))
	})
}

// roundedWeights is what QuantizeLinear makes of a weight: divided in float32, as ONNX Runtime does
// it.
func roundedWeights(t *onnx.Tensor, scales []float32) onnx.Source {
	return codesOf(t, func(o int, v float64) float64 {
		return max(-128, min(127, math.RoundToEven(float64(float32(v)/scales[o]))))
	})
}

// codesOf is the content of a weight in the codes that code gives its values, by output channel.
func codesOf(t *onnx.Tensor, code func(o int, v float64) float64) onnx.Source {
	return func(w io.Writer) error {
		var codes []byte
		for o, f := range filters(t) {
			codes = codes[:0]
			for i := range f.len() {
				codes = append(codes, byte(int8(code(o, f.values.at(i)))))
			}
			if _, err := w.Write(codes); err != nil {
				return err
			}
		}
		return nil
	}
}

// int32Bias is a bias in units of in·scale, the products' own: what the integer sum starts from.
func int32Bias(b *onnx.Tensor, in float64, scales []float32) []byte {
	data := make([]byte, 0, 4*len(scales))
	for o, s := range scales {
		q := math.RoundToEven(weights(b.Data).at(o) / (in * float64(s)))
		data = binary.LittleEndian.AppendUint32(data, uint32(int32(max(math.MinInt32, min(math.MaxInt32, q)))))
	}
	return data
}
