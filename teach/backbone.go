package teach

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// modelFiles are the keys of the files that hold the network.
var modelFiles = []string{bundle.FileFP32, bundle.FileFP16, bundle.FileINT8CPU, bundle.FileINT8TRT,
	bundle.FileINT8TRT11}

// backbone puts the network of a bundle into the folder dir so that its last layer is a head, which
// reads the features that its model files give: the same network, with the same answers. Files that
// give features are those of the bundle; others are written anew with them. It returns the manifest,
// which is written, too; it has the goldens of the bundle, and nothing else of it. A calibrated file
// that does not end as FP32 does is left out, with a finding.
func backbone(ctx context.Context, b *bundle.Bundle, dir string) (*bundle.Spec, []dataset.Finding, error) {
	spec := b.Spec
	spec.Labels, spec.Files = slices.Clone(spec.Labels), maps.Clone(spec.Files)
	for key := range spec.Files {
		if err := b.CheckFile(ctx, key); err != nil {
			return nil, nil, err
		}
	}
	var found []dataset.Finding
	var err error
	if b.Spec.HasHead() {
		err = link(b, dir, slices.Collect(maps.Keys(spec.Files))...)
	} else {
		found, err = split(ctx, b, &spec, dir)
	}
	if err != nil {
		return nil, nil, err
	}
	return &spec, found, bundle.WriteSpec(dir, &spec)
}

// link gives files of a bundle a second name in dir.
func link(b *bundle.Bundle, dir string, keys ...string) error {
	for _, key := range keys {
		path, err := b.Path(key)
		if err != nil {
			return err
		}
		if err := atomicfile.LinkOrCopy(path, filepath.Join(dir, b.Spec.Files[key].Path)); err != nil {
			return err
		}
	}
	return nil
}

// split makes a copy of the last layer the head.
func split(ctx context.Context, b *bundle.Bundle, spec *bundle.Spec, dir string) (found []dataset.Finding, err error) {
	old := spec.Files
	spec.Files = map[string]bundle.File{}
	for _, key := range []string{bundle.FileGolden, bundle.FileGoldens8} {
		if f, ok := old[key]; ok {
			spec.Files[key] = f
			if err := link(b, dir, key); err != nil {
				return nil, err
			}
		}
	}
	for _, key := range modelFiles {
		if _, ok := old[key]; !ok {
			continue
		}
		file, head, err := withFeatures(ctx, b, key, dir)
		switch {
		case err != nil && key == bundle.FileFP32:
			return nil, err
		case err != nil:
			found = append(found, dataset.Finding{Check: "files", Severity: "warn",
				Evidence: fmt.Sprintf("%s was left out: %v", old[key].Path, err),
				Cure:     "calibrate the bundle again, then teach it"})
			continue
		case head != nil:
			if spec.Files[bundle.FileHead], err = infer.WriteHead(ctx, dir, head); err != nil {
				return nil, err
			}
		}
		spec.Files[key] = file
	}
	spec.Output.Name = onnx.FeaturesOutput
	return found, nil
}

// withFeatures puts a model file of b into dir, where it gives features; of the FP32 file the last
// layer comes with it.
func withFeatures(ctx context.Context, b *bundle.Bundle, key, dir string) (f bundle.File, h *vision.Head, err error) {
	path, err := b.Path(key)
	if err != nil {
		return f, nil, err
	}
	m, err := onnx.Open(path)
	if err != nil {
		return f, nil, err
	}
	defer m.Close()
	last, err := m.LastLayer(b.Spec.Output.Name)
	if err != nil {
		return f, nil, fmt.Errorf("%s: %w", path, err)
	}
	if last.Classes != len(b.Spec.Labels) {
		return f, nil, fmt.Errorf("%s: the last dense layer makes %d numbers, the bundle has %d labels", path,
			last.Classes,
			len(b.Spec.Labels))
	}
	if key == bundle.FileFP32 {
		weight, bias, err := last.Values()
		if err != nil {
			return f, nil, fmt.Errorf("%s: %w", path, err)
		}
		if h, err = vision.NewHead(nil, weight, bias); err != nil {
			return f, nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if m.Exposes(b.Spec.Output.Name) {
		return b.Spec.Files[key], h, link(b, dir, key)
	}
	if !m.GiveFeatures(b.Spec.Output.Name, !bundle.OnlyTensorRT(key)) {
		return f, nil, fmt.Errorf("%s calls another tensor %s: rename that and import the network again", path,
			onnx.FeaturesOutput)
	}
	f, err = bundle.WriteFile(ctx, dir, filepath.Base(b.Spec.Files[key].Path), io.Discard, func(w io.Writer) error {
		return onnx.Write(w, m)
	})
	return f, h, err
}
