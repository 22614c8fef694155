package infer

import (
	"context"
	"fmt"
	"io"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// ReadHead reads the last layer of the bundle, with one row for each label; nil where the model files
// hold it themselves. The file is not hashed here.
func ReadHead(b *bundle.Bundle) (*vision.Head, error) {
	if !b.Spec.HasHead() {
		return nil, nil
	}
	path, err := b.Path(bundle.FileHead)
	if err != nil {
		return nil, err
	}
	file, err := checkpoint.Open(path, "")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	values := map[string][]float32{}
	for _, name := range []string{"mean", "weight", "bias"} {
		t := file.Tensor(name)
		if t == nil || t.Elements() > vision.MaxFeatures*int64(len(b.Spec.Labels)) {
			continue
		}
		if values[name], err = t.Float32s(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	if got, want := len(values["bias"]), len(b.Spec.Labels); got != want {
		return nil, fmt.Errorf("%s has %d rows, the manifest has %d labels: one of the two belongs to another "+
			"network", path, got, want)
	}
	h, err := vision.NewHead(values["mean"], values["weight"], values["bias"])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// WriteHead puts h into the folder dir and returns its manifest entry.
func WriteHead(ctx context.Context, dir string, h *vision.Head) (bundle.File, error) {
	classes, width := int64(h.Classes()), int64(h.Width())
	tensors := []checkpoint.Out{
		{Name: "weight", Shape: []int64{classes, width}, Source: checkpoint.Float32s(h.Weight)},
		{Name: "bias", Shape: []int64{classes}, Source: checkpoint.Float32s(h.Bias)},
	}
	if h.Mean != nil {
		mean := checkpoint.Out{Name: "mean", Shape: []int64{width}, Source: checkpoint.Float32s(h.Mean)}
		tensors = append(tensors, mean)
	}
	return bundle.WriteFile(ctx, dir, bundle.HeadName, io.Discard, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, tensors, nil)
	})
}
