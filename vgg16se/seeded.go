package vgg16se

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"

	"github.com/vggse/vggse-agent/onnx"
)

// Seeded returns He-normal weights (He et al., arXiv 1502.01852): mean 0, standard deviation
// √(2 / inputs of a neuron), biases 0. The same seed and name give the same numbers, whatever the
// rest of the network is.
func Seeded(seed uint64) Weights {
	return func(p Param) (onnx.Source, error) {
		return func(w io.Writer) error {
			h := fnv.New64a()
			io.WriteString(h, p.Name)
			std := 0.0
			if len(p.Shape) > 1 {
				std = math.Sqrt(2 * float64(p.Shape[0]) / float64(p.Elements()))
			}
			return writeNormal(w, rand.New(rand.NewPCG(seed, h.Sum64())), std, p.Elements())
		}, nil
	}
}

func writeNormal(w io.Writer, r *rand.Rand, std float64, n int64) error {
	buf := make([]byte, 1<<16)
	for n > 0 {
		part := buf[:min(int64(len(buf)), 4*n)]
		for i := 0; std > 0 && i < len(part); i += 4 {
			binary.LittleEndian.PutUint32(part[i:], math.Float32bits(float32(std*r.NormFloat64())))
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		n -= int64(len(part) / 4)
	}
	return nil
}
