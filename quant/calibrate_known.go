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

// makeKnown writes what tells pictures like those that were calibrated on from others, by the
// features of FP32. A network that gives no features, or whose labels do not exclude each other,
// gets nothing; one with too few pictures a finding.
func (c *calibration) makeKnown(ctx context.Context) error {
	if err := c.expose(ctx); err != nil {
		return err
	}
	path, err := c.bundle.Path(bundle.FileFP32)
	if c.fp32 != nil {
		path = c.path(c.fp32.Path)
	}
	if err != nil || c.bundle.Spec.Output.Scores == vision.ScoresSigmoid || !givesFeatures(path, c.bundle.Spec.Output.Name) {
		return err
	}
	pictures, err := c.features(ctx, path)
	if err != nil {
		return err
	}
	k, err := reference.Fit(pictures, len(c.bundle.Spec.Labels))
	if err != nil {
		c.found(dataset.Finding{Check: "known", Severity: "warn",
			Evidence: fmt.Sprintf("decide.unknown_below has nothing to go by: %v", err),
			Cure:     fmt.Sprintf("calibrate on %d pictures or more, some of each label", reference.LeastPictures)})
		return nil
	}
	file, err := infer.WriteKnown(ctx, c.dir, k, "fp32")
	c.known = &file
	return err
}

// givesFeatures tells whether a model file exposes them, beside its scores.
func givesFeatures(path, output string) bool {
	m, err := onnx.Open(path)
	if err != nil {
		return false
	}
	defer m.Close()
	return m.Exposes(output)
}

// features are those of the pictures that were calibrated on, with their labels, or what the network
// takes them for.
func (c *calibration) features(ctx context.Context, path string) ([]reference.Picture, error) {
	network, err := c.prober.Open(ctx, path, infer.ProbeOptions{Outputs: []string{c.bundle.Spec.Output.Name,
		onnx.FeaturesOutput}})
	if err != nil {
		return nil, err
	}
	defer network.Close()
	of := c.fit.Pictures[:min(len(c.fit.Pictures), reference.MostPictures)]
	set, all := dataset.New(of, c.bundle.Spec.Preprocess, c.size(), 0), make([]reference.Picture, len(of))
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
				err = network.Run(ctx, t, func(output int, v []float32) {
					if output == 1 {
						all[i].Features = slices.Clone(v)
					} else if top := vision.TopK(nil, v, 1); label < 0 && len(top) == 1 {
						label = top[0]
					}
				})
				all[i].Class = max(0, label)
			}
			if err != nil {
				return err
			}
			bar.One()
		}
	})
}
