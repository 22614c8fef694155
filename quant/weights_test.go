package quant

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// drawnWeights are weights of a convolution, each output channel as large as its number.
func drawnWeights(out, in, side int64, seed uint64) onnx.Tensor {
	r := rand.New(rand.NewPCG(seed, 6))
	v := make([]float32, out*in*side*side)
	for i := range v {
		v[i] = float32(r.NormFloat64()) * float32(int64(i)/(in*side*side)+1)
	}
	return onnx.NewFloat32("w", v, out, in, side, side)
}

func codesIn(t *testing.T, s onnx.Source) []int8 {
	t.Helper()
	var b bytes.Buffer
	if err := s(&b); err != nil {
		t.Fatal(err)
	}
	codes := make([]int8, b.Len())
	for i, v := range b.Bytes() {
		codes[i] = int8(v)
	}
	return codes
}

// Each output channel has a scale of its own; codes keep to the bits, and what they stand for is
// within half a scale of the weight.
func TestWeightCodes(t *testing.T) {
	w := drawnWeights(4, 6, 3, 1)
	for bits, limit := range map[WeightBits]int8{Bits8: 127, Bits7: 64, BitsPair: 127} {
		scales := weightScales(channelScales(&w, bits), nil, 1)
		codes := codesIn(t, int8Weights(&w, scales, bits))
		if len(scales) != 4 || len(codes) != 4*6*9 {
			t.Fatalf("%s: %d scales, %d codes", bits, len(scales), len(codes))
		}
		for i, c := range codes {
			o := i / (6 * 9)
			if c > limit || c < -limit {
				t.Errorf("%s: code %d of channel %d", bits, c, o)
			}
			if off := math.Abs(float64(c)*float64(scales[o]) - weights(w.Data).at(i)); off > 0.5001*float64(scales[o]) {
				t.Errorf("%s: weight %d is %g off, its scale is %g", bits, i, off, scales[o])
			}
		}
	}
}

// Two neighbours of one sign, in the order in which the processor adds their products, never exceed
// what 16 bits hold; a plain 8-bit weight can.
func TestPairsDoNotSaturate(t *testing.T) {
	ones := make([]float32, 6*9)
	for i := range ones {
		ones[i] = 1
	}
	all := onnx.NewFloat32("w", ones, 1, 6, 3, 3)
	for seed := range uint64(20) {
		drawn := drawnWeights(3, 6, 3, seed)
		for _, w := range []*onnx.Tensor{&drawn, &all} {
			scales := weightScales(channelScales(w, BitsPair), nil, 1)
			for o, f := range filters(w) {
				code := func(i int) float64 { return math.RoundToEven(f.inner(i) / float64(scales[o])) }
				for i := 0; i+1 < f.len(); i += 2 {
					if sum := math.Abs(code(i) + code(i+1)); sum > pairLimit {
						t.Fatalf("seed %d: channel %d, pair %d adds up to %g", seed, o, i, sum)
					}
				}
			}
		}
	}
	if s := weightScales(channelScales(&all, Bits8), nil, 1)[0]; math.RoundToEven(1/float64(s))*2 <= pairLimit {
		t.Error("the pair of ones fits in any case: nothing was tried")
	}
}

// filter gives weights channels innermost, as an integer convolution multiplies them.
func TestFilterOrder(t *testing.T) {
	w := onnx.NewFloat32("w", []float32{1, 2, 3, 4, 10, 20, 30, 40}, 1, 2, 2, 2)
	f := filters(&w)[0]
	for i, want := range []float64{1, 10, 2, 20, 3, 30, 4, 40} {
		if got := f.inner(i); got != want {
			t.Errorf("weight %d is %g, want %g", i, got, want)
		}
	}
}

// A scale is large enough for the bias to fit in 32 bits, and never 0.
func TestScalesLeaveRoomForTheBias(t *testing.T) {
	w := onnx.NewFloat32("w", []float32{1e-6, 0, 0, 0}, 2, 2, 1, 1)
	b := onnx.NewFloat32("b", []float32{1e6, -0.5}, 2)
	const in = 0.01
	scales := weightScales(channelScales(&w, Bits8), &b, in)
	bias := int32Bias(&b, in, scales)
	for o, want := range []float64{1e6, -0.5} {
		q := int32(binary.LittleEndian.Uint32(bias[4*o:]))
		back := float64(q) * in * float64(scales[o])
		if scales[o] <= 0 || math.Abs(back-want) > 1e-3*math.Abs(want) {
			t.Errorf("channel %d: scale %g, the bias comes back as %g, was %g", o, scales[o], back, want)
		}
	}
	if s := weightScales(channelScales(&w, Bits8), nil, in)[1]; s <= 0 {
		t.Errorf("a channel of zeros has the scale %g", s)
	}
}

// Corrected biases are what rounding the weights does to the mean, by the definition.
func TestShifts(t *testing.T) {
	w := drawnWeights(3, 4, 3, 5)
	mean := []float64{0.5, 0, 2, 1}
	for _, bits := range []WeightBits{Bits8, Bits7} {
		scales := weightScales(channelScales(&w, bits), nil, 1)
		codes := codesIn(t, int8Weights(&w, scales, bits))
		got := shifts(&w, scales, bits, mean, 1)
		for o := range 3 {
			want := 0.0
			for k := range 4 {
				for i := range 9 {
					at := (o*4+k)*9 + i
					want -= (float64(codes[at])*float64(scales[o]) - weights(w.Data).at(at)) * mean[k]
				}
			}
			if math.Abs(float64(got[o])-want) > 1e-5 {
				t.Errorf("%s bits, channel %d: %g, want %g", bits, o, got[o], want)
			}
		}
	}
}

// A layer that stays in float, or of whose inputs nothing is known, is not corrected.
func TestCorrectionLeavesOut(t *testing.T) {
	n := network(t)
	c := collected(t, n, "net", map[string]float32{"p1": 1})
	p := &Plan{Levels: LevelsU8, Bits: Bits8, Picture: [2]float64{-2, 2}}
	for _, s := range n.Sites[1:] {
		p.Choices = append(p.Choices, Choice{Site: s.Name, Threshold: 1})
	}
	if all, err := Correction(n, c, p); err != nil || len(all) != 0 { // no layer has a bias
		t.Errorf("%v, %v", all, err)
	}
	p.Choices[0].Threshold = 0
	if _, err := Correction(n, c, p); err == nil {
		t.Error("a plan that keeps nothing of a tensor was taken")
	}
}

// A picture's range is that of its bytes under the preprocessing, zero included, which is what a
// convolution pads with.
func TestPictureRange(t *testing.T) {
	tv := vision.Torchvision(96)
	for name, tt := range map[string]struct {
		p    vision.Preprocess
		want [2]float64
	}{
		"torchvision": {tv, [2]float64{-0.485 / 0.229, (1 - 0.406) / 0.225}},
		"0 to 1":      {vision.Preprocess{Scale: 1.0 / 255, Std: [3]float64{1, 1, 1}}, [2]float64{0, 1}},
		"bright only": {vision.Preprocess{Scale: 1, Mean: [3]float64{-10, -10, -10}, Std: [3]float64{1, 1, 1}},
			[2]float64{0, 265}},
	} {
		got := PictureRange(&tt.p)
		if math.Abs(got[0]-tt.want[0]) > 0.1 || math.Abs(got[1]-tt.want[1]) > 0.1 || got[0] > 0 || got[1] < 0 {
			t.Errorf("%s: %v, want about %v", name, got, tt.want)
		}
	}
}

// Codes cover the picture from its least value to its largest, and each tensor up to its threshold;
// zero has a code of its own.
func TestPlanCodes(t *testing.T) {
	n := network(t)
	for _, tt := range []struct {
		levels  int
		picture [2]float64
	}{{LevelsU8, [2]float64{-2, 2.5}}, {LevelsU8, [2]float64{0, 1}}, {LevelsS8, [2]float64{-2, 2.5}},
		{LevelsS8, [2]float64{-3, 1}}} {
		p := &Plan{Levels: tt.levels, Picture: tt.picture}
		for i, s := range n.Sites[1:] {
			p.Choices = append(p.Choices, Choice{Site: s.Name, Threshold: float64(i + 1)})
		}
		codes, err := p.codes(n)
		if err != nil {
			t.Fatal(err)
		}
		first, kind := codes[0], onnx.Int8
		low, high := -127.0, 127.0
		if tt.levels == LevelsU8 {
			low, high, kind = 0, 255, onnx.Uint8
		}
		least, most := (low-float64(first.zero))*float64(first.scale), (high-float64(first.zero))*float64(first.scale)
		if slack := float64(first.scale); least > tt.picture[0]+slack || most < tt.picture[1]-slack {
			t.Errorf("%+v: the picture's codes cover %g to %g", tt, least, most)
		}
		for i, c := range codes[1:] {
			if got := float64(c.scale) * float64(tt.levels); math.Abs(got-float64(i+1)) > 1e-6 || c.zero != 0 ||
				c.kind != kind {
				t.Errorf("%+v: tensor %d: %+v", tt, i, c)
			}
		}
	}
	for name, p := range map[string]*Plan{
		"too few tensors": {Levels: LevelsU8},
		"another tensor": {Levels: LevelsU8, Choices: []Choice{{Site: "none", Threshold: 1},
			{Site: "d", Threshold: 1}}},
	} {
		if _, err := p.codes(n); err == nil {
			t.Errorf("%s: the plan was taken", name)
		}
	}
}

// The line in a file says everything of its plan but the ranges.
func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		p         Plan
		equalized bool
		want      string
	}{
		{Plan{Levels: LevelsU8}, false,
			"levels=255 float=[] gates=int8 squeezes=int8 sums=int8 equalized=false biases-corrected=false"},
		{Plan{Levels: LevelsU8, SE: SEGateFloat, SqueezeFloat: true, Float: []string{"b", "a"},
			Bias: map[string][]float32{"a": nil}}, true,
			"levels=255 float=[a b] gates=float squeezes=float sums=int8 equalized=true biases-corrected=true"},
		{Plan{Levels: LevelsS8}, false,
			"levels=127 float=[] gates=float squeezes=float sums=float equalized=false biases-corrected=false"},
	} {
		if got := tt.p.Summary(tt.equalized); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// The last layer stays in float for TensorRT, and what the plan demotes does everywhere.
func TestInteger(t *testing.T) {
	for _, tt := range []struct {
		levels int
		last   bool
		float  []string
		want   bool
	}{{LevelsU8, false, nil, true}, {LevelsU8, true, nil, true}, {LevelsS8, false, nil, true},
		{LevelsS8, true, nil, false},
		{LevelsU8, false, []string{"fc"}, false}, {LevelsS8, false, []string{"other"}, true}} {
		p := Plan{Levels: tt.levels, Float: tt.float}
		if got := p.integer(&Layer{Name: "fc", Last: tt.last}); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
