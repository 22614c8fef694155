package vgg16se

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// Every attention block alone answers as PyTorch's modules of train/attention.py do
// (testdata/goldens.py).
func TestBlocksOfPyTorch(t *testing.T) {
	f, err := checkpoint.Open("testdata/blocks.safetensors", "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read := func(name string) []float64 {
		tensor := f.Tensor(name)
		if tensor == nil {
			t.Fatalf("no %s", name)
		}
		v, err := values(tensor)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, kind := range Attentions[:6] {
		l := Layer{Op: gates[kind].op, Params: gates[kind].params(8, 3)}
		var params []floats
		for _, p := range l.Params {
			w := read(string(kind) + "." + p.Name)
			if kind == BAM {
				w = folded(w, p, read)
			}
			var b floats
			for _, v := range w {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
			}
			params = append(params, b)
		}
		got, want := attend(l, []int{8, 7, 7}, read(string(kind)+".x"), params), read(string(kind)+".y")
		worst, largest := 0.0, 0.0
		for i, v := range want {
			worst, largest = max(worst, math.Abs(got[i]-v)), max(largest, math.Abs(v))
		}
		if !(worst <= 1e-6*largest) || len(got) != len(want) {
			t.Errorf("%s: differs by %g of %g", kind, worst, largest)
		}
	}
}

// folded applies BAM's batch normalizations by hand.
func folded(w []float64, p Param, read func(string) []float64) []float64 {
	for part, norm := range bamNorms {
		weight := p.Name == part+".weight"
		if !weight && p.Name != part+".bias" {
			continue
		}
		scale, shift := read("bam."+norm+".weight"), read("bam."+norm+".bias")
		mean, variance := read("bam."+norm+".running_mean"), read("bam."+norm+".running_var")
		for i := range w {
			row := i * len(scale) / len(w)
			s := scale[row] / math.Sqrt(variance[row]+epsilon)
			if w[i] *= s; !weight {
				w[i] += shift[row] - mean[row]*s
			}
		}
	}
	return w
}
