package infer

import (
	"context"
	"fmt"
	"io"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// ReadKnown reads what tells pictures of the bundle's classes from others; nil where it has nothing
// of the kind. The file is not hashed here.
func ReadKnown(b *bundle.Bundle) (*vision.Known, error) {
	if _, ok := b.Spec.Files[bundle.FileKnown]; !ok {
		return nil, nil
	}
	path, err := b.Path(bundle.FileKnown)
	if err != nil {
		return nil, err
	}
	file, err := checkpoint.Open(path, "")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	values, dims := map[string][]float32{}, 0
	for _, name := range []string{"axes", "centres", "null"} {
		t := file.Tensor(name)
		if t == nil || t.Elements() > mostKnown {
			return nil, fmt.Errorf("%s has no %s, or too much of it: calibrate or teach again", path, name)
		}
		if name == "axes" && len(t.Shape) == 2 {
			dims = int(t.Shape[0])
		}
		if values[name], err = t.Float32s(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	k, err := vision.NewKnown(values["axes"], values["centres"], values["null"], dims)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// mostKnown is the largest number of values of one tensor of the file.
const mostKnown = 1 << 24

// WriteKnown puts k, of features of a precision, into the folder dir and returns its manifest entry.
func WriteKnown(ctx context.Context, dir string, k *vision.Known, precision string) (bundle.File, error) {
	dims := int64(k.Dims())
	tensors := []checkpoint.Out{
		{Name: "axes", Shape: []int64{dims, int64(k.Width())}, Source: checkpoint.Float32s(k.Axes)},
		{Name: "centres", Shape: []int64{int64(len(k.Centres)) / dims, dims}, Source: checkpoint.Float32s(k.Centres)},
		{Name: "null", Shape: []int64{int64(len(k.Null))}, Source: checkpoint.Float32s(k.Null)},
	}
	return bundle.WriteFile(ctx, dir, bundle.KnownName, io.Discard, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, tensors, map[string]string{"precision": precision})
	})
}

// Known tells pictures of the network's classes from others by their features; nil where the bundle
// has no reference, or the file that runs gives no features.
func (n *Network) Known() *vision.Known { return n.known }

// NoKnown says in one sentence why pictures are not told as unknown by their features; empty where
// they are.
func (n *Network) NoKnown() string {
	switch _, has := n.Bundle.Spec.Files[bundle.FileKnown]; {
	case n.known != nil:
		return ""
	case !has:
		return "this bundle has no " + bundle.KnownName + ": calibrate or teach it, and decide.unknown_below acts"
	}
	return "the file that runs, " + n.File + ", gives no features: calibrate or teach the bundle again, and " +
		"decide.unknown_below acts"
}

// knownOf is what the bundle of an engine knows, where the engine gives the features for it.
func knownOf(b *bundle.Bundle, e *Engine) (*vision.Known, error) {
	k, err := ReadKnown(b)
	if err != nil || k == nil || e.SignalSizes().Features == 0 {
		return nil, err
	}
	if want := e.SignalSizes().Features; k.Width() != want {
		return nil, wrong("%s is of %d features, the network has %d: one of the two belongs to another network",
			b.Spec.Files[bundle.FileKnown].Path, k.Width(), want)
	}
	return k, nil
}
