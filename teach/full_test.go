package teach

import (
	"math/rand/v2"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// BenchmarkFullSize teaches 3 classes of 20 samples to a layer of 1,000 classes on 4,096 features,
// of which 5 samples each are stored.
func BenchmarkFullSize(b *testing.B) {
	const classes, added, width = 1000, 3, 4096
	rng := rand.New(rand.NewPCG(3, 4))
	weight := make([]float32, classes*width)
	for i := range weight {
		weight[i] = float32(rng.NormFloat64()) / 64
	}
	old, err := vision.NewHead(nil, weight, make([]float32, classes))
	if err != nil {
		b.Fatal(err)
	}
	var samples []Sample
	for i := range 5*classes + 20*added {
		s := Sample{Class: i % classes, Views: [][]float32{make([]float32, width)}}
		if i >= 5*classes {
			s.Class = classes + i%added
		}
		centre := rand.New(rand.NewPCG(5, uint64(s.Class)))
		for k := range s.Views[0] {
			s.Views[0][k] = float32(max(0, centre.NormFloat64()+rng.NormFloat64()))
		}
		samples = append(samples, s)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Learn(b.Context(), samples, classes+added, old, MethodMeans, 2); err != nil {
			b.Fatal(err)
		}
	}
}
