package prune_test

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/prune"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// prober runs models on the real ONNX Runtime.
var prober = infer.Prober{Config: infer.Config{Threads: 1}, Input: vgg16se.Input}

// scenes are smooth seeded pictures.
type scenes int

func (s scenes) Len() int { return int(s) }

func (s scenes) Load(i int, t *vision.Tensor) error {
	r := rand.New(rand.NewPCG(uint64(i), 9))
	side := int(t.Shape[2])
	for c := range 3 {
		a, b, p := 6*r.Float64(), 6*r.Float64(), 6*r.Float64()
		for y := range side {
			for x := range side {
				wave := math.Sin(a*float64(x)/20+p) * math.Cos(b*float64(y)/20)
				t.Data[(c*side+y)*side+x] = float32(wave + 0.1*r.NormFloat64())
			}
		}
	}
	return nil
}

var small = vgg16se.Architecture{InputSize: 32, Width: 0.125, Reduction: 4, Hidden: 24, PoolSize: 2, Classes: 7}

func needRuntime(t *testing.T) {
	t.Helper()
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	}
}

// network writes a seeded network whose channels repeat one another, and opens it.
func network(t *testing.T, a vgg16se.Architecture, weights vgg16se.Weights) *prune.VGG {
	t.Helper()
	needRuntime(t)
	graph, err := a.Graph(weights)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fp32.onnx")
	if err := atomicfile.WriteFile(path, func(w io.Writer) error { return onnx.Write(w, graph) }); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	n, err := prune.NewVGG(a, m)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// halved gives each layer filters in pairs of equals, as far as its rows go: half of all channels
// say nothing new.
func halved(seed uint64) vgg16se.Weights {
	plain := vgg16se.Seeded(seed)
	return func(p vgg16se.Param) (onnx.Source, error) {
		source, err := plain(p)
		rows := p.Shape[0]
		if err != nil || rows%16 != 0 || len(p.Shape) < 4 {
			return source, err
		}
		return func(w io.Writer) error {
			var b buffer
			if err := source(&b); err != nil {
				return err
			}
			half := len(b) / 2
			copy(b[half:], b[:half])
			_, err := w.Write(b)
			return err
		}, nil
	}
}

type buffer []byte

func (b *buffer) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }

func bench(t *testing.T, n int) *prune.Bench {
	return &prune.Bench{Runtime: prober, Dir: t.TempDir(), Pictures: scenes(n), Workers: 2}
}

// logits are the answers of a network to the pictures from first on.
func logits(t *testing.T, n *prune.VGG, first, count int) []float32 {
	t.Helper()
	m, err := n.Model()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "n.onnx")
	if err := atomicfile.WriteFile(path, func(w io.Writer) error { return onnx.Write(w, m) }); err != nil {
		t.Fatal(err)
	}
	s, err := prober.Open(t.Context(), path, infer.ProbeOptions{Outputs: []string{vgg16se.Output}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all []float32
	x := vision.NewTensor(1, 3, n.Arch.InputSize, n.Arch.InputSize)
	for i := range count {
		if err := scenes(0).Load(first+i, x); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context(), x, func(_ int, v []float32) { all = append(all, v...) }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// far is the error of answers as a share of the square of those that are wanted.
func far(got, want []float32) float64 {
	var noise, power float64
	for i, w := range want {
		noise, power = noise+math.Pow(float64(got[i]-w), 2), power+math.Pow(float64(w), 2)
	}
	return noise / power
}

// Where half of the channels repeat others, half go and the answers stay, on pictures that were not
// looked at: with the simplest attention and the one with most parts. Largest weights and lots do
// much worse.
func TestRepeatedChannelsGo(t *testing.T) {
	for _, kind := range []vgg16se.Attention{vgg16se.SE, vgg16se.CBAM} {
		t.Run(string(kind), func(t *testing.T) {
			a := small
			a.Attention = kind
			n := network(t, a, halved(3))
			s, err := prune.Analyse(t.Context(), n, bench(t, 64))
			if err != nil {
				t.Fatal(err)
			}
			p, err := s.Plan(s.MACs()*10/25, 8)
			if err != nil {
				t.Fatal(err)
			}
			cut, err := s.Apply(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if macs, _ := cut.Arch.MACs(); macs > s.MACs()*10/25 {
				t.Errorf("%d multiply-adds of %d left, 40 %% were wanted", macs, s.MACs())
			}
			for _, w := range p.Widths() {
				if w%8 != 0 {
					t.Errorf("widths %v are no multiples of 8", p.Widths())
				}
			}
			want := logits(t, n, 1000, 32)
			ours, largest, lots := far(logits(t, cut, 1000, 32), want), far(logits(t, s.Cut(s.Largest(p)), 1000, 32),
				want), far(logits(t, s.Cut(s.Random(p, 1)), 1000, 32), want)
			t.Logf("widths %v: error %.2g, largest weights %.2g, by lot %.2g", p.Widths(), ours, largest, lots)
			if !(ours < 0.1) || !(ours < largest/4) || !(ours < lots/4) {
				t.Errorf("error %.3g; largest weights %.3g, by lot %.3g", ours, largest, lots)
			}
		})
	}
}

// Surgery is exact: channels whose weights are zero go, and not a digit that counts changes.
func TestSurgeryIsExact(t *testing.T) {
	for _, kind := range vgg16se.Attentions {
		a := small
		a.Attention = kind
		n := network(t, a, func(p vgg16se.Param) (onnx.Source, error) {
			source, err := vgg16se.Seeded(5)(p)
			if len(p.Shape) != 4 || strings.Count(p.Name, ".") != 2 || p.Shape[0] <= 8 {
				return source, err
			}
			return func(w io.Writer) error {
				var b buffer
				err := source(&b)
				clear(b[len(b)/p.Shape[0]*8:][:len(b)/p.Shape[0]*8]) // channels 8 to 15
				w.Write(b)
				return err
			}, err
		})
		s, err := prune.Analyse(t.Context(), n, bench(t, 8))
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Plan(s.MACs()-1, 8)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p { // all that are dead, and none else
			p[i] = upTo(s.Groups[i].Width)
			if w := s.Groups[i].Width; i < 13 && w > 8 {
				p[i] = slices.Delete(p[i], 8, 16)
			}
		}
		if got := far(logits(t, s.Cut(p), 500, 8), logits(t, n, 500, 8)); got > 1e-10 {
			t.Errorf("%s: the answers moved by %g", kind, got)
		}
	}
}

func upTo(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = i
	}
	return v
}

// The same pictures give the same network for any number of workers.
func TestRepeatable(t *testing.T) {
	n := network(t, small, vgg16se.Seeded(1))
	var first []float32
	for _, workers := range []int{1, 3} {
		b := bench(t, 24)
		b.Workers = workers
		s, err := prune.Analyse(t.Context(), n, b)
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Plan(s.MACs()/2, 8)
		if err != nil {
			t.Fatal(err)
		}
		cut, err := s.Apply(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		got := logits(t, cut, 0, 2)
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Errorf("%d workers: %v, want %v", workers, got, first)
		}
	}
}

func TestRefuses(t *testing.T) {
	n := network(t, small, vgg16se.Seeded(1))
	s, err := prune.Analyse(t.Context(), n, bench(t, 8))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plan(1000, 8); err == nil {
		t.Error("a network of 1000 multiply-adds was promised")
	}
	other := small
	other.Hidden = 99
	if _, err := prune.NewVGG(other, &onnx.Model{}); err == nil {
		t.Error("a model without weights was taken")
	}
}
