package reference

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// BenchmarkFitFull makes a reference of 500 pictures of 10 classes with 4,096 features.
func BenchmarkFitFull(b *testing.B) {
	pictures := clouds(1, 500, 10, 4096, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Fit(pictures, 10); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStoreFull keeps 5 pictures of each of 1,000 classes with 4,096 features.
func BenchmarkStoreFull(b *testing.B) {
	const classes, width = 1000, 4096
	rng := rand.New(rand.NewPCG(1, 2))
	pictures, labels := make([]Picture, 5*classes), make([]string, classes)
	for i := range pictures {
		p := Picture{Class: i % classes, Features: make([]float32, width)}
		for k := range p.Features {
			p.Features[k] = max(0, float32(rng.NormFloat64()))
		}
		pictures[i], labels[p.Class] = p, strconv.Itoa(p.Class)
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := Store(pictures, labels)
		if err != nil || len(s.Class) != len(pictures) {
			b.Fatalf("%d pictures: %v", len(s.Class), err)
		}
		b.ReportMetric(float64(4*(len(s.Mean)+len(s.Means)+len(s.Covariance))+2*(len(s.Axes)+len(s.Coordinates)))/1e6,
			"MB-file")
	}
}
