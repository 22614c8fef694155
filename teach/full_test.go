package teach

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// BenchmarkFullSize teaches 3 classes of 20 samples to a layer of 1,000 classes on 4,096 features, of
// which 5 samples each are stored.
func BenchmarkFullSize(b *testing.B) { full(b, 1000, 5, 3, 20, 1) }

// BenchmarkTenOfFifty fits a layer of 10 classes to 50 samples each of 4,096 features, three views a
// sample; 8 of the classes are known.
func BenchmarkTenOfFifty(b *testing.B) { full(b, 8, 50, 2, 50, 3) }

func full(b *testing.B, classes, each, added, more, views int) {
	const width = 4096
	rng := rand.New(rand.NewPCG(3, 4))
	centre := func(class int) []float32 {
		own, c := rand.New(rand.NewPCG(5, uint64(class))), make([]float32, width)
		for k := range c {
			c[k] = float32(max(0, own.NormFloat64()))
		}
		return c
	}
	weight := make([]float32, 0, classes*width)
	for c := range classes {
		for _, v := range centre(c) {
			weight = append(weight, (v-0.4)/64)
		}
	}
	old, err := vision.NewHead(nil, weight, make([]float32, classes))
	if err != nil {
		b.Fatal(err)
	}
	var samples []Sample
	for i := range each*classes + more*added {
		s := Sample{Class: i % classes}
		if i >= each*classes {
			s.Class = classes + i%added
		}
		for range views {
			x := centre(s.Class)
			for k := range x {
				x[k] = max(0, x[k]+float32(rng.NormFloat64()))
			}
			s.Views = append(s.Views, x)
		}
		samples = append(samples, s)
	}
	b.ReportAllocs()
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, peak := watch()
	for b.Loop() {
		f, err := Learn(b.Context(), samples, classes+added, old, Choice{MayLose: []float64{0.005}, Workers: 2})
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%s, λ %g, caution %.3g, temperature %.3g", f[0].Method, f[0].Lambda, f[0].Caution, f[0].Temperature)
	}
	close(stop)
	b.ReportMetric(float64(<-peak-before.HeapInuse)/(1<<20), "peak-MiB")
}

// watch looks at the heap until stop is closed, and sends the most that was in use.
func watch() (stop chan struct{}, peak chan uint64) {
	stop, peak = make(chan struct{}), make(chan uint64, 1)
	go func() {
		most, m := uint64(0), runtime.MemStats{}
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
	}()
	return stop, peak
}
