package infer

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// KnownKind is the kind of a model file by what its features are like, from its key in
// bundle.Spec.Files: those in floating point are of one.
func KnownKind(key string) string {
	switch {
	case key == bundle.FileINT8TRT11: // the same ranges
		return bundle.FileINT8TRT
	case strings.HasPrefix(key, "int8."):
		return key
	}
	return "float"
}

// ReadKnown reads what tells pictures of the bundle's classes from others by the features of a kind
// of model files; nil where it has nothing of it. The file is not hashed here.
func ReadKnown(b *bundle.Bundle, kind string) (*vision.Known, error) {
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
	k, err := readKnown(file, kind)
	if err == nil && k != nil {
		k.Channels, err = readKnown(file, kind+channels)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// channels stands behind the kind of what is known of the attention blocks' channels.
const channels = "/channels"

// readKnown reads what stands under a name; nil where there is nothing.
func readKnown(file *checkpoint.File, kind string) (*vision.Known, error) {
	if file.Tensor(kind+"/axes") == nil {
		return nil, nil
	}
	var err error
	values, dims := map[string][]float32{}, 0
	for _, name := range []string{"axes", "centres", "null"} {
		t := file.Tensor(kind + "/" + name)
		if t == nil || t.Elements() > mostKnown {
			return nil, fmt.Errorf("it has no %s, or too much of it: calibrate or teach again", name)
		}
		if name == "axes" && len(t.Shape) == 2 {
			dims = int(t.Shape[0])
		}
		if values[name], err = t.Float32s(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return vision.NewKnown(values["axes"], values["centres"], values["null"], dims)
}

// mostKnown is the largest number of values of one tensor of the file.
const mostKnown = 1 << 24

// WriteKnown puts what is known of the features of kinds of model files into the folder dir and
// returns its manifest entry.
func WriteKnown(ctx context.Context, dir string, of map[string]*vision.Known) (bundle.File, error) {
	var tensors []checkpoint.Out
	all := maps.Clone(of)
	for kind, k := range of {
		if k.Channels != nil {
			all[kind+channels] = k.Channels
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		k := all[kind]
		dims := int64(k.Dims())
		add := func(name string, values []float32, shape ...int64) {
			tensors = append(tensors, checkpoint.Out{Name: kind + "/" + name, Shape: shape,
				Source: checkpoint.Float32s(values)})
		}
		add("axes", k.Axes, dims, int64(k.Width()))
		add("centres", k.Centres, int64(len(k.Centres))/dims, dims)
		add("null", k.Null, int64(len(k.Null)))
	}
	return bundle.WriteFile(ctx, dir, bundle.KnownName, io.Discard, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, tensors, nil)
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
	return bundle.KnownName + " has nothing of features like those of the file that runs, " + n.File + ": calibrate " +
		"the bundle again, or teach it with this precision, and decide.unknown_below acts"
}

// knownOf is what the bundle of an engine knows of the features of the file with the given key, where
// the engine gives them.
func knownOf(b *bundle.Bundle, key string, e *Engine) (*vision.Known, error) {
	k, err := ReadKnown(b, KnownKind(key))
	if err != nil || k == nil || e.SignalSizes().Features == 0 {
		return nil, err
	}
	if c := k.Channels; c != nil && c.Width() != e.SignalSizes().Levels() {
		k.Channels = nil // a file for TensorRT gives none
	}
	if want := e.SignalSizes().Features; k.Width() != want {
		return nil, wrong("%s is of %d features, the network has %d: one of the two belongs to another network",
			b.Spec.Files[bundle.FileKnown].Path, k.Width(), want)
	}
	return k, nil
}
