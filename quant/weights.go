package quant

import (
	"encoding/binary"
	"io"
	"math"
	"runtime"
	"sync"

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

// peak is the largest magnitude of a channel. Magnitudes are ordered as their bits are.
func (f *filter) peak() float64 {
	most := uint32(0)
	for v := f.values; len(v) >= 4; v = v[4:] {
		most = max(most, binary.LittleEndian.Uint32(v)&^(1<<31))
	}
	return float64(math.Float32frombits(most))
}

// pair is the largest magnitude of the sum of two neighbours, channels innermost: the first with the
// second, the third with the fourth.
func (f *filter) pair() (most float64) {
	if f.channels%2 == 1 && f.area > 1 { // a pair may lie at two places
		for i := 0; i+1 < f.len(); i += 2 {
			most = max(most, math.Abs(f.inner(i)+f.inner(i+1)))
		}
		return most
	}
	row := 4 * f.area
	for k := 0; k+1 < f.channels; k += 2 {
		a, b := f.values[k*row:][:row], f.values[(k+1)*row:][:row]
		for i := 0; i+4 <= len(a) && i+4 <= len(b); i += 4 {
			sum := math.Abs(float64(math.Float32frombits(binary.LittleEndian.Uint32(a[i:]))) +
				float64(math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))))
			if sum > most {
				most = sum
			}
		}
	}
	return most
}

// scale is the scale of one output channel: the largest weight, and with BitsPair the largest pair,
// get the largest codes. A channel of zeros gets the smallest scale that is safe.
func (f *filter) scale(bits WeightBits) float64 {
	codes, pair := 127.0, 0.0
	switch bits {
	case Bits7:
		codes = 64
	case BitsPair:
		pair = f.pair()
	}
	return max(f.peak()/codes, pair/(pairLimit-1), deadScale) // rounding adds at most 1 to a pair
}

// channelScales are the scales of all output channels of a weight.
func channelScales(t *onnx.Tensor, bits WeightBits) []float64 {
	scales, all := make([]float64, t.Dims[0]), filters(t)
	overRows(len(all), len(t.Data), func(o int) { scales[o] = all[o].scale(bits) })
	return scales
}

// weightScales are the scales of all output channels as they stand in a file: float32, and no
// smaller than the bias b·scale⁻¹·in⁻¹ needs to fit in 32 bits with room for what is added to it.
func weightScales(channels []float64, bias *onnx.Tensor, in float64) []float32 {
	scales := make([]float32, len(channels))
	for o, s := range channels {
		if bias != nil {
			s = max(s, math.Abs(weights(bias.Data).at(o))/(in*(1<<30)))
		}
		scales[o] = float32(s)
	}
	return scales
}

// sharedFrom is how many bytes of weights are worked on by several goroutines.
const sharedFrom = 1 << 20

// overRows does something with every row of a constant of so many bytes, with several at a time
// where it is large.
func overRows(rows, bytes int, do func(o int)) {
	parts := min(rows, runtime.GOMAXPROCS(0))
	if bytes < sharedFrom {
		parts = min(rows, 1)
	}
	var group sync.WaitGroup
	for part := range parts {
		group.Go(func() {
			for o := part * rows / parts; o < (part+1)*rows/parts; o++ {
				do(o)
			}
		})
	}
	group.Wait()
}

// int8Weights is the content of a weight in codes, one channel after the other.
func int8Weights(t *onnx.Tensor, scales []float32, bits WeightBits) onnx.Source {
	limit := 127.0
	if bits == Bits7 {
		limit = 64
	}
	return codesOf(t, func(o int, v weights, codes []byte) {
		s := float64(scales[o])
		for i := range codes {
			codes[i] = byte(int8(nearest(v.at(i)/s, -limit, limit)))
		}
	})
}

// roundedWeights is what QuantizeLinear makes of a weight: divided in float32, as ONNX Runtime does
// it.
func roundedWeights(t *onnx.Tensor, scales []float32) onnx.Source {
	return codesOf(t, func(o int, v weights, codes []byte) {
		s := scales[o]
		for i := range codes {
			codes[i] = byte(int8(nearest(float64(float32(v.at(i))/s), -128, 127)))
		}
	})
}

// toCode is a number whose sum with another of at most 2^50 has that, rounded to the nearest even
// integer, in its last bits.
const toCode = 3 << 51

// nearest is v between two integers, rounded to the nearest even one.
func nearest(v, low, high float64) float64 {
	if v < low {
		return low
	}
	if v > high {
		return high
	}
	return v + toCode - toCode
}

// codesAtOnce is about how many codes are made before they are written.
const codesAtOnce = 4 << 20

// codesOf is the content of a weight in codes, as code makes them of an output channel's values.
func codesOf(t *onnx.Tensor, code func(o int, v weights, codes []byte)) onnx.Source {
	return func(w io.Writer) error {
		all, row := filters(t), 0
		if len(all) > 0 {
			row = all[0].len()
		}
		many := max(1, codesAtOnce/max(1, row))
		codes := make([]byte, min(many, len(all))*row)
		for from := 0; from < len(all); from += many {
			part := all[from:min(from+many, len(all))]
			overRows(len(part), 4*row*len(part), func(o int) { code(from+o, part[o].values, codes[o*row:][:row]) })
			if _, err := w.Write(codes[:len(part)*row]); err != nil {
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
