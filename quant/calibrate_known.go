package quant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/reference"
	"github.com/vggse/vggse-agent/vision"
)

// signalled is the FP32 file to ask and the signals to ask for beside its scores: none where nothing is
// made of them.
func (c *calibration) signalled(ctx context.Context) (path string, signals []string, err error) {
	path, err = c.bundle.Path(bundle.FileFP32)
	if err != nil || c.CheckOnly || c.bundle.Spec.Output.Scores == vision.ScoresSigmoid {
		return path, nil, err
	}
	if err = c.expose(ctx); c.fp32 != nil {
		path = c.path(c.fp32.Path)
	}
	return path, signalsIn(path, c.bundle.Spec.Output.Name), err
}

// makeKnown writes what tells pictures like those that were calibrated on from others, by the
// features of FP32, and what stands in for them. A network that gives no features, or whose labels
// do not exclude each other, gets nothing; one with too few pictures a finding.
func (c *calibration) makeKnown(ctx context.Context) error {
	if len(c.remembered) == 0 {
		return nil
	}
	if err := c.store(ctx, c.remembered); err != nil {
		return err
	}
	float, err := reference.Fit(c.remembered, len(c.bundle.Spec.Labels))
	if err != nil {
		c.found(dataset.Finding{Check: "known", Severity: "warn",
			Evidence: fmt.Sprintf("decide.unknown_below has nothing to go by: %v", err),
			Cure:     fmt.Sprintf("calibrate on %d pictures or more, some of each label", reference.LeastPictures)})
		return nil
	}
	of := map[string]*vision.Known{"float": float}
	if err := c.knownIntegers(ctx, of); err != nil {
		return err
	}
	file, err := infer.WriteKnown(ctx, c.dir, of)
	c.known = &file
	return err
}

// knownIntegers adds what is known of the features of the files in 8 bits, which are others: rounding
// alone moves a picture far from where FP32 has it, in directions in which pictures hardly differ.
func (c *calibration) knownIntegers(ctx context.Context, of map[string]*vision.Known) error {
	for _, f := range c.report.Files {
		kind := infer.KnownKind(f.Key)
		if of[kind] != nil || len(signalsIn(c.path(f.Path), c.bundle.Spec.Output.Name)) == 0 {
			continue
		}
		file, err := c.runnable(&FileReport{Key: f.Key, Path: f.Path})
		if err != nil {
			return err
		}
		pictures, err := c.features(ctx, file, f.Key != bundle.FileINT8CPU)
		if err != nil {
			return err
		}
		if of[kind], err = reference.Fit(pictures, len(c.bundle.Spec.Labels)); err != nil {
			return err
		}
	}
	return c.removeTwin()
}

// store writes what stands in for the pictures.
func (c *calibration) store(ctx context.Context, pictures []reference.Picture) error {
	s, err := reference.Store(pictures, c.bundle.Spec.Labels)
	if err != nil || s == nil {
		return err
	}
	s.Precision = "fp32"
	if slices.ContainsFunc(c.fit.Pictures, func(p dataset.Picture) bool { return p.Label < 0 }) {
		s.Judged = "network"
	}
	file, err := s.Write(ctx, c.dir)
	c.stored = &file
	return err
}

// signalsIn are the signals that a model file exposes beside its scores: first the features, then
// squeeze and gates of each block; empty: no features.
func signalsIn(path, output string) []string {
	m, err := onnx.Open(path)
	if err != nil {
		return nil
	}
	defer m.Close()
	if !m.Exposes(output) {
		return nil
	}
	has := func(name string) bool {
		return slices.ContainsFunc(m.Graph.Outputs, func(o onnx.ValueInfo) bool { return o.Name == name })
	}
	all := []string{onnx.FeaturesOutput}
	for b := 1; has(onnx.SqueezeOutput(b)) && has(onnx.GateOutput(b)); b++ {
		all = append(all, onnx.SqueezeOutput(b), onnx.GateOutput(b))
	}
	return all
}

// features are those of the pictures that were calibrated on, and what their blocks said, with their
// labels, or what the network takes them for.
func (c *calibration) features(ctx context.Context, path string, separate bool) ([]reference.Picture, error) {
	output := c.bundle.Spec.Output.Name
	outputs := append([]string{output}, signalsIn(path, output)...)
	network, err := c.prober.Open(ctx, path, infer.ProbeOptions{Outputs: outputs, Separate: separate})
	if err != nil {
		return nil, err
	}
	defer network.Close()
	of := c.fit.Pictures[:min(len(c.fit.Pictures), reference.MostPictures)]
	set, all := c.set(of), make([]reference.Picture, len(of))
	bar := c.progress.Start("remembering", int64(len(of)))
	defer bar.Done()
	return all, eval.Parallel(ctx, c.Workers, func(ctx context.Context) error {
		t := vision.NewTensor(1, 3, c.size(), c.size())
		for {
			i, label, err := set.Next(ctx, t)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				all[i], _, err = told(ctx, network, t, label)
			}
			if err != nil {
				return err
			}
			bar.One()
		}
	})
}
