package quant_test

import (
	"flag"
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vision"
)

// shown is how many held-out pictures TestDriftOfTheDemo shows as they are; of each change 104.
var shown = flag.Int("drift-pictures", 104, "held-out pictures as they are, for TestDriftOfTheDemo; 2880 are a day's")

// shift changes the pixels of a picture, BGR.
type shift struct {
	name   string
	change func(f *vision.Frame)
}

// shifts are what happens to a camera.
var shifts = []shift{
	{"dark, a quarter of the light", scaled(0.25, 0.25, 0.25)},
	{"bright, 2.5 times the light", scaled(2.5, 2.5, 2.5)},
	{"colour cast, blue 0.7, red 1.3", scaled(0.7, 1, 1.3)},
	{"out of focus, a box of 7 of 96", blurred(3)},
	{"noise, σ 25", noisy(25)},
	{"another scene, stripes", striped},
}

// The demo's network in every precision that runs here: pictures like those of the calibration are no drift,
// and what happens to a camera is one in at most 120 pictures.
func TestDriftOfTheDemo(t *testing.T) {
	needRuntime(t)
	dir := filepath.Join(t.TempDir(), "calibrated")
	images := demoPictures(t, 520, 1, 96, 72)
	if _, err := quant.Calibrate(t.Context(), quant.Options{Bundle: "../demo/bundle", Out: dir, Images: images,
		Method: quant.MinMax, Budget: "none", TensorRT: "10.16", Workers: 2}, nil); err != nil {
		t.Fatal(err)
	}
	frames := frames(t, demoPictures(t, *shown, 77, 96, 72))
	for _, precision := range []string{"fp32", "int8"} {
		n, err := infer.OpenBundle(t.Context(), dir, precision, infer.Config{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if n.Known() == nil || n.Known().Channels == nil {
			t.Fatalf("%s knows nothing of its pictures", precision)
		}
		if s := watchDrift(t, n, frames, func(*vision.Frame) {}); s.features.at > 0 || s.channels.at > 0 {
			t.Errorf("%s, pictures as before: %s", precision, s)
		} else {
			t.Logf("%s, pictures as before: %s", precision, s)
		}
		for _, c := range shifts {
			s := watchDrift(t, n, frames[:104], c.change)
			t.Logf("%s, %s: %s", precision, c.name, s)
			if at := s.first(); at == 0 || at > 120 {
				t.Errorf("%s, %s: %s", precision, c.name, s)
			}
		}
	}
}

// seen is what a chart said.
type seen struct {
	chart   vision.Drift
	at      int // the picture at which it said drift; 0: it did not
	strange int // pictures with a p-value below 0.1
}

func (s *seen) add(i int, p float32) {
	if p < 0.1 {
		s.strange++
	}
	if s.chart.Add(p) && s.at == 0 {
		s.at = i + 1
	}
}

type watched struct {
	n                  int
	features, channels seen
}

func (w *watched) first() int {
	if w.features.at == 0 || w.channels.at > 0 && w.channels.at < w.features.at {
		return w.channels.at
	}
	return w.features.at
}

func (w *watched) String() string {
	one := func(s *seen) string {
		return fmt.Sprintf("%.0f %% strange, drift after %d", 100*float64(s.strange)/float64(w.n), s.at)
	}
	return fmt.Sprintf("features %s; channels %s", one(&w.features), one(&w.channels))
}

// watchDrift shows the changed frames to the network's charts.
func watchDrift(t *testing.T, n *infer.Network, frames []*vision.Frame, change func(f *vision.Frame)) *watched {
	t.Helper()
	size, k := n.Bundle.Spec.Architecture.InputSize, n.Known()
	prep, err := vision.NewPreprocessor(n.Bundle.Spec.Preprocess, size)
	if err != nil {
		t.Fatal(err)
	}
	x, out := vision.NewTensor(1, 3, size, size), make(vision.Logits, len(n.Bundle.Spec.Labels))
	s := n.SignalSizes().New()
	levels, room := make([]float32, k.Channels.Width()), make([]float32, 256)
	w := &watched{n: len(frames)}
	for i, f := range frames {
		var changed vision.Frame
		changed.CopyFrom(f)
		change(&changed)
		if err := prep.Apply(&changed, x, 0); err != nil {
			t.Fatal(err)
		}
		if err := n.RunSignals(t.Context(), x, out, []*vision.Signals{s}); err != nil {
			t.Fatal(err)
		}
		s.Levels(levels)
		w.features.add(i, k.PValue(k.Score(s.Features, room)))
		w.channels.add(i, k.Channels.PValue(k.Channels.Score(levels, room)))
	}
	return w
}

// frames are the pictures of a folder, in an order that mixes the labels.
func frames(t *testing.T, dir string) []*vision.Frame {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.png"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	var all []*vision.Frame
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(file)
		if file.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, vision.FrameOf(img))
	}
	return all
}

func scaled(bgr ...float64) func(f *vision.Frame) {
	return func(f *vision.Frame) {
		for i, v := range f.Pix {
			f.Pix[i] = uint8(min(255, bgr[i%3]*float64(v)))
		}
	}
}

func noisy(sigma float64) func(f *vision.Frame) {
	rng := rand.New(rand.NewPCG(3, 4))
	return func(f *vision.Frame) {
		for i, v := range f.Pix {
			f.Pix[i] = uint8(max(0, min(255, float64(v)+sigma*rng.NormFloat64())))
		}
	}
}

func striped(f *vision.Frame) {
	for i := range f.Pix {
		f.Pix[i] = uint8(40 + 170*(i/3%f.Width/6%2))
	}
}

func blurred(radius int) func(f *vision.Frame) {
	return func(f *vision.Frame) {
		var before vision.Frame
		before.CopyFrom(f)
		for y := range f.Height {
			for i := range 3 * f.Width {
				sum, n := 0, 0
				for dy := max(-radius, -y); dy <= min(radius, f.Height-1-y); dy++ {
					for dx := -radius; dx <= radius; dx++ {
						if at := i + 3*dx; at >= 0 && at < 3*f.Width {
							sum, n = sum+int(before.Pix[(y+dy)*f.Stride+at]), n+1
						}
					}
				}
				f.Pix[y*f.Stride+i] = uint8(sum / n)
			}
		}
	}
}
