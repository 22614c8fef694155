package verify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vision"
)

// ownTolerance is how far INT8 may be off FP32 on pictures that are made up: its ranges are of
// others.
const ownTolerance = 0.5

// ownNoise is the share of their power by which the features of INT8 may differ from FP32's on such
// pictures; those of two unlike networks differ by all of it, and more.
const ownNoise = 0.8

// ownFP32 are made-up pictures with what the bundle's FP32 file answers to them here.
func ownFP32(ctx context.Context, b *bundle.Bundle) (*Goldens, error) {
	if err := b.CheckFile(ctx, bundle.FileFP32); err != nil {
		return nil, err
	}
	path, err := b.Path(bundle.FileFP32)
	if err != nil {
		return nil, err
	}
	s, err := infer.OpenProbe(ctx, infer.Config{}, path, b.Spec.Input.Name,
		infer.ProbeOptions{Outputs: []string{b.Spec.Output.Name}})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	head, err := infer.ReadHead(b)
	if err != nil {
		return nil, err
	}
	g := &Goldens{Input: smoothPictures(Pairs, b.Spec.Architecture.InputSize, &b.Spec.Preprocess),
		Origin: OriginOwnFP32, Tolerance: ownTolerance}
	for i := range Pairs {
		if err := s.Run(ctx, picture(g.Input, i), func(_ int, v []float32) {
			g.Logits = append(g.Logits, logitsOf(head, v)...)
			if head != nil {
				g.features = append(g.features, v...)
			}
		}); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// SameAs is an error where n, which is FP32, does not answer made-up pictures as the FP32 file of
// another bundle does.
func SameAs(ctx context.Context, n *infer.Network, b *bundle.Bundle) error {
	g, err := ownFP32(ctx, b)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	got, err := Answers(ctx, n, g.Input)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	info := n.Info()
	worst, largest := infer.Difference(g.Logits, got)
	if allowed := infer.Tolerance(info.Precision, info.Provider) * largest; !(worst <= allowed) {
		return fmt.Errorf("verify: it answers %.3g off, more than the %.3g allowed", worst, allowed)
	}
	return nil
}

// featuresHold judges a network whose last layer is in a file of its own by what comes before it: that
// layer was fitted to the features of one precision, and may make much of how another is off.
func featuresHold(ctx context.Context, n *infer.Network, g *Goldens, v *Verdict) error {
	got, width := make([]float32, len(g.features)), len(g.features)/v.Pairs
	for i := range v.Pairs {
		if err := n.Features(ctx, picture(g.Input, i), got[i*width:][:width]); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	var noise, signal float64
	for i, want := range g.features {
		d := float64(want) - float64(got[i])
		noise, signal = noise+d*d, signal+float64(want)*float64(want)
	}
	allowed := v.Tolerance * v.Tolerance
	if v.Precision == "int8" {
		allowed = ownNoise
	}
	if v.OK = noise <= allowed*signal; !v.OK {
		return &MissedError{fmt.Sprintf("the features of %s differ from those of its FP32 by %.2g of their power, "+
			"more than the %g allowed", n.Bundle.Dir, noise/signal, allowed)}
	}
	return nil
}

// logitsOf are the logits of a picture that a model file answers with v.
func logitsOf(head *vision.Head, v []float32) vision.Logits {
	if head == nil {
		return v
	}
	logits := make(vision.Logits, head.Classes())
	head.Apply(v, logits)
	return logits
}

// smoothPictures are preprocessed pictures of a few slow waves in each channel: as bright, and as
// even from pixel to pixel, as pictures of a camera are.
func smoothPictures(n, size int, p *vision.Preprocess) *vision.Tensor {
	x, r := vision.NewTensor(n, 3, size, size), rand.New(rand.NewPCG(2, uint64(size)))
	for plane := range 3 * n {
		var waves [4][3]float64 // periods across and down, and where it begins
		for k := range waves {
			waves[k] = [3]float64{6 * r.Float64(), 6 * r.Float64(), r.Float64()}
		}
		c := plane % 3
		for at := range size * size {
			sum := 0.0
			u, v := float64(at%size)/float64(size), float64(at/size)/float64(size)
			for _, w := range waves {
				sum += math.Sin(2 * math.Pi * (w[0]*u + w[1]*v + w[2]))
			}
			value := math.Round(127.5 + 127.5*sum/float64(len(waves)))
			x.Data[plane*size*size+at] = float32((value*p.Scale - p.Mean[c]) / p.Std[c])
		}
	}
	return x
}
