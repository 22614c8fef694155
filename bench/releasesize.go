package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/release"
	"github.com/vggse/vggse-agent/vision"
)

// What a device that has one release may fetch of the next, bytes; and of its INT8 file, where
// everything is new.
const (
	headBar  = 1 << 20
	gatesBar = 2 << 20
	wholeBar = 1.02
)

// newClasses is how many classes the taught head has.
const newClasses = 10

// seTensor is in the names of what squeeze and excitation are made of.
const seTensor = ".fc."

// sizesReport measures what travels of a release of the full-size network to a device that has the
// one before: its pieces go through a folder, counted.
func (o *options) sizesReport(ctx context.Context, r *report) error {
	full, err := o.calibratedFull(ctx)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(o.scratch, "release-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	p := &sizes{options: o, work: work}
	taught, gates := filepath.Join(work, "taught"), filepath.Join(work, "gates")
	cut := filepath.Join(work, "cut")
	for _, step := range []func() error{
		p.keys,
		func() error { return withHead(ctx, full, cut, 13, 0.5) },
		func() error { return withHead(ctx, full, taught, newClasses, 0.25) },
		func() error { return retrained(ctx, full, gates) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	r.section("What a device fetches, full-size network, goldens that are pictures left out")
	for _, c := range []struct {
		what, before, after, keep string
		bar                       float64
	}{
		{"a taught head, of a network without one, INT8 for the CPU", full, taught, bundle.FileINT8CPU, headBar},
		{"a taught head, of a network without one, all five model files", full, taught, "", headBar},
		{"a taught head, of a taught network, all five model files", cut, taught, "", headBar},
		{"squeeze and excitation retrained, FP32 alone", full, gates, bundle.FileFP32, gatesBar},
		{"squeeze and excitation retrained, FP16 alone", full, gates, bundle.FileFP16, gatesBar},
		{"squeeze and excitation retrained, INT8 alone, activations scaled as before", full, gates, bundle.FileINT8CPU,
			gatesBar},
		{"a new INT8 network, its CPU file alone", "", full, bundle.FileINT8CPU, 0},
	} {
		got, err := p.fetched(ctx, c.before, c.after, c.keep)
		if err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		bar := c.bar
		if bar == 0 {
			size, err := sizeOf(full, c.keep)
			if err != nil {
				return err
			}
			bar = wholeBar * float64(size)
		}
		r.atMost(c.what+", bytes", float64(got), bar, fmt.Sprint(got))
	}
	return nil
}

// calibratedFull is the full-size bundle with INT8 files; without one it is calibrated, which takes a
// quarter of an hour on two cores.
func (o *options) calibratedFull(ctx context.Context) (string, error) {
	if _, err := sizeOf(o.full, bundle.FileINT8CPU); err == nil {
		return o.full, nil
	}
	out := filepath.Join(o.scratch, "full-int8")
	if _, err := sizeOf(out, bundle.FileINT8CPU); err == nil {
		return out, nil
	}
	pictures, err := o.drawn(ctx, "release-pictures", 52, 3)
	if err != nil {
		return "", err
	}
	text, err := exec.CommandContext(ctx, o.agent, "calibrate", "--bundle", o.full, "--images", pictures, "--out", out,
		"--seconds", "0", "--goldens", "none").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s calibrate: %w\n%s", o.agent, err, text)
	}
	return out, nil
}

func sizeOf(dir, key string) (int64, error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return 0, err
	}
	f, ok := b.Spec.Files[key]
	if !ok {
		return 0, fmt.Errorf("%s has no %s file", dir, key)
	}
	return f.Bytes, nil
}

// sizes publishes, and pulls on devices of its own.
type sizes struct {
	*options
	work   string
	secret *release.SecretKey
	number int64
}

func (p *sizes) keys() error {
	path := filepath.Join(p.work, "key")
	k, err := release.NewKey(path, "")
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(p.work, "trust"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.work, "trust", "k.pub"), k.Text(), 0o644); err != nil {
		return err
	}
	p.secret, err = release.OpenSecretKey(path+".key", "")
	return err
}

// fetched is what a new device that has before (empty: nothing) fetches of after: the model files of
// keep, all where it is empty.
func (p *sizes) fetched(ctx context.Context, before, after, keep string) (int64, error) {
	device, err := os.MkdirTemp(p.work, "device-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(device)
	var bytes int64
	for _, dir := range []string{before, after} {
		if dir == "" {
			continue
		}
		if bytes, err = p.pull(ctx, dir, device, keep); err != nil {
			return 0, err
		}
	}
	return bytes, nil
}

// pull publishes a bundle under the next number, and fetches it.
func (p *sizes) pull(ctx context.Context, dir, device, keep string) (int64, error) {
	place, err := p.publish(ctx, dir)
	defer os.RemoveAll(place.Path)
	if err != nil {
		return 0, err
	}
	o := release.PullOptions{Store: store.At(device)}
	if keep != "" {
		o.Keep = func([]string) []string { return []string{keep} }
	}
	return p.take(ctx, place, device, o)
}

// pictured are the goldens of a bundle, which are pictures.
func pictured(dir string) (keys []string, err error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, err
	}
	for key := range b.Spec.Files {
		if key == bundle.FileGolden || key == bundle.FileGoldens8 {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// withHead is the bundle as teach writes it: model files that give features, and a last layer of so
// many classes, of weights of the given size.
func withHead(ctx context.Context, from, to string, classes int, weight float32) error {
	var width int
	spec, err := copied(ctx, from, to, func(m *onnx.Model, b *bundle.Bundle) error {
		last, err := m.LastLayer(b.Spec.Output.Name)
		if err != nil {
			return err
		}
		width = last.Width
		if !m.GiveFeatures(b.Spec.Output.Name, true) {
			return errors.New("a model file does not give its features")
		}
		return nil
	})
	if err != nil {
		return err
	}
	values := slices.Repeat([]float32{weight}, classes*width)
	h, err := vision.NewHead(nil, values, make([]float32, classes))
	if err != nil {
		return err
	}
	if spec.Files[bundle.FileHead], err = infer.WriteHead(ctx, to, h); err != nil {
		return err
	}
	spec.Output.Name, spec.Architecture.Classes, spec.Labels = onnx.FeaturesOutput, classes, nil
	for i := range classes {
		spec.Labels = append(spec.Labels, fmt.Sprint("class ", i))
	}
	return bundle.WriteSpec(to, spec)
}

// retrained is the bundle with other numbers in squeeze and excitation, and nowhere else.
func retrained(ctx context.Context, from, to string) error {
	spec, err := copied(ctx, from, to, func(m *onnx.Model, _ *bundle.Bundle) error {
		changed := 0
		for i := range m.Graph.Initializers {
			if t := &m.Graph.Initializers[i]; strings.Contains(t.Name, seTensor) {
				t.Data = slices.Clone(t.Data)
				for j := range t.Data {
					t.Data[j] ^= 1
				}
				changed++
			}
		}
		if changed == 0 {
			return fmt.Errorf("no tensor has %s in its name", seTensor)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return bundle.WriteSpec(to, spec)
}

// copied writes each model file of a bundle into a new folder as change makes it, and the other files
// as they are.
func copied(ctx context.Context, from, to string, change func(*onnx.Model, *bundle.Bundle) error) (*bundle.Spec,
	error) {
	b, err := bundle.Open(from)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, err
	}
	spec := b.Spec
	spec.Files = maps.Clone(spec.Files)
	for key, f := range b.Spec.Files {
		path := filepath.Join(from, f.Path)
		if filepath.Ext(f.Path) != ".onnx" {
			if err := atomicfile.LinkOrCopy(path, filepath.Join(to, f.Path)); err != nil {
				return nil, err
			}
			continue
		}
		m, err := onnx.Open(path)
		if err != nil {
			return nil, err
		}
		if err = change(m, b); err == nil {
			spec.Files[key], err = bundle.WriteFile(ctx, to, f.Path, io.Discard, func(w io.Writer) error {
				return onnx.Write(w, m)
			})
		}
		if closing := m.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return &spec, nil
}
