package importer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// small is a network on its way into a file: a convolution with stride 2, a pool over all, a matrix.
type small struct {
	m       onnx.Model
	at      string
	classes int
	written string // path of the file
}

func dims(sizes ...int64) []onnx.Dim {
	shape := make([]onnx.Dim, len(sizes))
	for i, s := range sizes {
		shape[i] = onnx.Dim{Size: s}
	}
	return shape
}

func noise(n int, seed uint64, by float32) []float32 {
	v, r := make([]float32, n), rand.New(rand.NewPCG(seed, 7))
	for i := range v {
		v[i] = by * float32(r.NormFloat64())
	}
	return v
}

func newSmall(opset, ir int64, kind onnx.DataType, shape ...int64) *small {
	s := &small{at: "image"}
	s.m = onnx.Model{IRVersion: ir, Producer: "test", Opsets: []onnx.Opset{{Version: opset}}}
	s.m.Graph.Name = "small"
	s.m.Graph.Inputs = []onnx.ValueInfo{{Name: "image", Type: kind, Shape: dims(shape...)}}
	return s
}

// then adds a node that reads what the one before it made, and constants.
func (s *small) then(op string, attributes []onnx.Attribute, constants ...onnx.Tensor) *small {
	n := onnx.Node{OpType: op, Inputs: []string{s.at}, Outputs: []string{s.at + "'"}, Attributes: attributes}
	for _, c := range constants {
		c.Name = s.at + c.Name
		s.m.Graph.Initializers = append(s.m.Graph.Initializers, c)
		if s.m.IRVersion < 4 {
			s.m.Graph.Inputs = append(s.m.Graph.Inputs, onnx.ValueInfo{Name: c.Name, Type: c.Type,
				Shape: dims(c.Dims...)})
		}
		n.Inputs = append(n.Inputs, c.Name)
	}
	s.m.Graph.Nodes = append(s.m.Graph.Nodes, n)
	s.at += "'"
	return s
}

// net are the layers, of so many channels and classes.
func (s *small) net(channels, classes int64) *small {
	s.classes = int(classes)
	return s.then("Conv", []onnx.Attribute{onnx.Ints("kernel_shape", 3, 3), onnx.Ints("strides", 2, 2)},
		onnx.NewFloat32("w", noise(int(8*channels*9), 1, 0.3), 8, channels, 3, 3)).
		then("Relu", nil).then("GlobalAveragePool", nil).
		then("Conv", []onnx.Attribute{onnx.Ints("kernel_shape", 1, 1)},
			onnx.NewFloat32("v", noise(int(8*classes), 2, 2), classes, 8, 1, 1))
}

func perm(p ...int64) []onnx.Attribute { return []onnx.Attribute{onnx.Ints("perm", p...)} }

func to(kind onnx.DataType) []onnx.Attribute { return []onnx.Attribute{onnx.Int("to", int64(kind))} }

func (s *small) flat() *small { return s.then("Flatten", nil) }

// ends declares the answer.
func (s *small) ends(kind onnx.DataType, shape ...int64) *small {
	s.m.Graph.Outputs = append(s.m.Graph.Outputs, onnx.ValueInfo{Name: s.at, Type: kind, Shape: dims(shape...)})
	return s
}

// unsaid declares an answer of which the file says no shape.
func (s *small) unsaid(kind onnx.DataType) *small {
	s.ends(kind)
	s.m.Graph.Outputs[len(s.m.Graph.Outputs)-1].Shape = nil
	return s
}

// asked flattens by lengths that are asked of the tensor in every run, as exporters with an open
// batch write it.
func (s *small) asked() *small {
	x := s.at
	s.then("Shape", nil).then("Gather", nil, onnx.NewInt64("first", []int64{0})).
		then("Unsqueeze", nil, onnx.NewInt64("axes", []int64{0}, 1)).
		then("Concat", []onnx.Attribute{onnx.Int("axis", 0)}, onnx.NewInt64("rest", []int64{-1}, 1))
	s.m.Graph.Nodes = append(s.m.Graph.Nodes, onnx.Node{OpType: "Reshape", Inputs: []string{x, s.at},
		Outputs: []string{"asked"}})
	s.at = "asked"
	return s
}

func (s *small) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "small.onnx")
	s.written = path
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := onnx.Write(f, &s.m); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	asItIs   = "resize=squash,filter=area,channels=rgb,scale=1/255,mean=0.4,0.5,0.6,std=0.2,0.2,0.2"
	inBytes  = "resize=squash,filter=area,channels=rgb,scale=1,mean=0,0,0,std=1,1,1"
	inGrey   = "resize=squash,filter=area,channels=grey,scale=1/255,mean=0.1,std=0.3"
	withFour = "resize=squash,filter=area,channels=rgb,scale=1/255,mean=0,0,0,0.5,std=1,1,1,0.5"
)

// Every kind of foreign file becomes a bundle, and the import itself has ONNX Runtime show that it
// answers as the file.
func TestImportRewritesForeignGraphs(t *testing.T) {
	needRuntime(t)
	f32, f16, u8 := onnx.Float32, onnx.Float16, onnx.Uint8
	for name, c := range map[string]struct {
		s          *small
		preprocess string
		scores     vision.Scores
		said       string
	}{
		"channels last": {newSmall(13, 7, f32, 1, 20, 20, 3).then("Transpose", perm(0, 3, 1, 2)).net(3, 4).flat().
			ends(f32, 1, 4), asItIs, "", "20×20×3 float32"},
		"channels last, not transposed at once": {newSmall(9, 4, f32, 0, 20, 20, 3).then("Identity", nil).
			then("Transpose", perm(0, 3, 1, 2)).net(3, 4).flat().ends(f32, 0, 4), asItIs, "", "20×20×3"},
		"bytes": {newSmall(11, 6, u8, 1, 20, 20, 3).then("Cast", to(f32)).then("Transpose", perm(0, 3, 1, 2)).net(3, 4).
			flat().then("Mul", nil, onnx.NewFloat32("c", []float32{0.01})).ends(f32, 1, 4), inBytes, "", "uint8"},
		"half precision": {newSmall(13, 7, f16, 1, 3, 20, 20).then("Cast", to(f32)).net(3, 4).flat().
			then("Cast", to(f16)).ends(f16, 1, 4), asItIs, "", "float16"},
		"grey": {newSmall(13, 7, f32, 1, 1, 20, 20).net(1, 4).flat().ends(f32, 1, 4), inGrey, "", "grey pictures"},
		"opacity": {newSmall(7, 3, f32, 1, 4, 20, 20).net(4, 4).flat().ends(f32, 1, 4), withFour, "",
			"RGBA pictures"},
		"wide": {newSmall(9, 3, f32, 1, 3, 14, 20).net(3, 4).flat().ends(f32, 1, 4), asItIs, "", "3×14×20"},
		"tall, bytes, channels last": {newSmall(13, 7, u8, 0, 24, 14, 3).then("Cast", to(f32)).
			then("Transpose", perm(0, 3, 1, 2)).net(3, 4).flat().then("Softmax", nil).ends(f32, 0, 4), inBytes, "",
			"24×14×3 uint8"},
		"an answer of four dimensions": {newSmall(13, 7, f32, 0, 3, 20, 20).net(3, 4).ends(f32, 0, 4, 1, 1), asItIs, "",
			"raw scores"},
		"softmax over four dimensions": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).
			then("Softmax", []onnx.Attribute{onnx.Int("axis", 1)}).ends(f32, 1, 4, 1, 1), asItIs, "", "softmax"},
		"without a batch": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).
			then("Reshape", nil, onnx.NewInt64("r", []int64{4}, 1)).ends(f32, 4), asItIs, "", "raw scores"},
		"batch inside": {newSmall(13, 7, f32, 4, 3, 20, 20).net(3, 4).
			then("Reshape", nil, onnx.NewInt64("r", []int64{4, 4}, 2)).ends(f32, 4, 4), asItIs, "", "for 4 at a time"},
		"lengths asked in every run": {newSmall(13, 7, f32, 0, 3, 20, 20).net(3, 4).asked().ends(f32, 0, 4), asItIs, "",
			"any number at a time"},
		"batch that stays": {newSmall(13, 7, f32, 2, 3, 20, 20).net(3, 4).flat().
			then("Add", nil, onnx.NewFloat32("b", noise(8, 3, 1), 2, 4)).ends(f32, 2, 4), asItIs, "", "2 at a time"},
		"sigmoid": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat().then("Sigmoid", nil).ends(f32, 1, 4), asItIs,
			vision.ScoresSigmoid, "each of 4 labels for itself"},
		"logits beside their sigmoid": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat().ends(f32, 1, 4).
			then("Sigmoid", nil).ends(f32, 1, 4), asItIs, vision.ScoresSigmoid, "each of 4 labels for itself"},
		"something made of a sigmoid": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat().then("Sigmoid", nil).
			then("Erf", nil).ends(f32, 1, 4), asItIs, vision.ScoresSigmoid, "each of its label for itself"},
		"raw scores between 0 and 1": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat().
			then("Mul", nil, onnx.NewFloat32("c", []float32{1e-4})).
			then("Add", nil, onnx.NewFloat32("d", []float32{0.5})).ends(f32, 1, 4), asItIs, "", "raw scores"},
		"small answers of a Relu": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat().
			then("Mul", nil, onnx.NewFloat32("c", []float32{1e-4})).then("Relu", nil).ends(f32, 1, 4), asItIs, "",
			"raw scores"},
		"a sigmoid and a Sqrt": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat().then("Sigmoid", nil).
			then("Erf", nil).then("Sqrt", nil).ends(f32, 1, 4), asItIs, vision.ScoresSigmoid,
			"each of its label for itself"},
		"a sigmoid rounded to less than its range": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat().
			then("Sigmoid", nil).then("QuantizeLinear", nil, onnx.NewFloat32("q", []float32{0.3 / 255}),
			onnx.Tensor{Name: "z", Type: onnx.Uint8, Data: []byte{0}}).
			then("DequantizeLinear", nil, onnx.NewFloat32("q", []float32{0.3 / 255}),
				onnx.Tensor{Name: "z", Type: onnx.Uint8, Data: []byte{0}}).ends(f32, 1, 4), asItIs,
			vision.ScoresSigmoid, "each of 4 labels for itself"},
		"one score": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 1).flat().ends(f32, 1, 1), asItIs, "",
			"the second of the two"},
		"one probability": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 1).flat().then("Sigmoid", nil).ends(f32, 1, 1),
			asItIs, "", "the second of the two"},
		"a number for a picture": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 1).then("Squeeze", nil).ends(f32), asItIs,
			"", "one score, high for the second of the two"},
		"a number for each picture": {newSmall(11, 6, f32, 0, 3, 20, 20).net(3, 1).then("Squeeze", nil).
			then("Sigmoid", nil).ends(f32, 0), asItIs, "", "any number at a time; one score"},
		"a number of which no shape is said": {newSmall(13, 7, f32, 0, 3, 20, 20).net(3, 1).
			then("Squeeze", nil).unsaid(f32), asItIs, "", "the second of the two"},
		"a number in half precision": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 1).then("Squeeze", nil).
			then("Cast", to(f16)).ends(f16), asItIs, "", "the second of the two"},
		"a number for each of four": {newSmall(11, 6, f32, 4, 3, 20, 20).net(3, 1).
			then("Squeeze", []onnx.Attribute{onnx.Ints("axes", 1, 2, 3)}).ends(f32, 4), asItIs, "", "for 4 at a time"},
		"probabilities of an unknown make": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat().then("Abs", nil).
			then("LpNormalization", []onnx.Attribute{onnx.Int("p", 1), onnx.Int("axis", 1)}).ends(f32, 1, 4), asItIs,
			"", "their logarithm"},
	} {
		dir, labels := filepath.Join(t.TempDir(), "b"), "a,b,c,d"
		if c.s.classes == 1 {
			labels = "good,bad"
		}
		said, err := saying(t, importer.Options{File: c.s.file(t), Labels: labels, Preprocess: c.preprocess,
			Out: dir})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.Contains(said, c.said) || !strings.Contains(said, "proven: answers as the file itself") {
			t.Errorf("%s: said %q, want …%s…", name, said, c.said)
		}
		b, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if b.Spec.Output.Scores != c.scores {
			t.Errorf("%s: scores by %q, want %q", name, b.Spec.Output.Scores, c.scores)
		}
		opened(t, dir) // the engine takes it
	}
}

// What cannot be told apart is refused with the cure.
func TestImportRefusesForeignGraphs(t *testing.T) {
	needRuntime(t)
	f32 := onnx.Float32
	plain := func() *small { return newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat() }
	two := plain().ends(f32, 1, 4)
	two.then("Relu", nil).ends(f32, 1, 4)
	for name, c := range map[string]struct {
		s                  *small
		preprocess, labels string
		want               string
	}{
		"two answers": {two, asItIs, "", "choose with --output"},
		"one label":   {plain().ends(f32, 1, 4), asItIs, "a,", "label 2 is empty"},
		"other labels": {plain().ends(f32, 1, 4), asItIs, "a,b,c",
			"--labels has 3 labels, the network 4 scores for each picture: give 4 labels"},
		"one label more": {plain().ends(f32, 1, 4), asItIs, "Label,a,b,c,d",
			`"Label" looks like a heading: take it out`},
		"a label for the background": {plain().ends(f32, 1, 4), asItIs, "__background__,a,b,c,d",
			`no class for "__background__": take it out`},
		"no label for the background": {plain().ends(f32, 1, 4), asItIs, "a,b,c", "for the background"},
		"an operator set before ONNX Runtime's": {newSmall(6, 3, f32, 1, 3, 20, 20).net(3, 4).
			then("Reshape", nil, onnx.NewInt64("r", []int64{1, 4}, 2)).
			then("Add", []onnx.Attribute{onnx.Int("broadcast", 1)}, onnx.NewFloat32("b", noise(4, 3, 1), 4)).
			ends(f32, 1, 4), asItIs, "", "no Add of operator set 6"},
		"one score for each of four": {newSmall(11, 6, f32, 4, 3, 20, 20).net(3, 1).
			then("Squeeze", []onnx.Attribute{onnx.Ints("axes", 1, 2, 3)}).ends(f32, 4), asItIs, "a,b,c", "give two"},
		"one score for three labels": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 1).then("Squeeze", nil).ends(f32),
			asItIs, "a,b,c", "one score tells two labels apart: give two"},
		"one score each for three labels": {newSmall(13, 7, f32, 0, 3, 20, 20).net(3, 1).then("Squeeze", nil).
			ends(f32, 0), asItIs, "a,b,c", "one score tells two labels apart: give two"},
		"one score of no shape": {newSmall(13, 7, f32, 0, 3, 20, 20).net(3, 1).then("Squeeze", nil).unsaid(f32),
			asItIs, "a,b,c", "one score tells two labels apart: give two"},
		"the class alone": {newSmall(13, 7, f32, 1, 3, 20, 20).net(3, 4).flat().
			then("ArgMax", []onnx.Attribute{onnx.Int("axis", 1)}).ends(onnx.Int64, 1, 1), asItIs, "a,b,c,d",
			"int64[1 1]: export the scores that it is made of"},
		"grey as colour": {newSmall(13, 7, f32, 1, 1, 20, 20).net(1, 4).flat().ends(f32, 1, 4), asItIs, "",
			"channels=grey"},
		"scaled bytes": {newSmall(13, 7, onnx.Uint8, 1, 3, 20, 20).then("Cast", to(f32)).net(3, 4).flat().
			ends(f32, 1, 4), asItIs, "", "scale=1"},
		"opacity unsaid": {newSmall(13, 7, f32, 1, 4, 20, 20).net(4, 4).flat().ends(f32, 1, 4), asItIs, "",
			"four numbers"},
		"a fourth for all": {plain().ends(f32, 1, 4), withFour, "", "takes 3 channels"},
	} {
		if c.labels == "" {
			c.labels = "a,b,c,d"
		}
		_, err := saying(t, importer.Options{File: c.s.file(t), Labels: c.labels, Preprocess: c.preprocess,
			Out: filepath.Join(t.TempDir(), "b")})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
	}
	if _, err := saying(t, importer.Options{File: two.file(t), Labels: "a,b,c,d", Preprocess: asItIs, Output: two.at,
		Out: filepath.Join(t.TempDir(), "b")}); err != nil {
		t.Errorf("--output: %v", err)
	}
}

// A file takes any number of pictures, whatever it promises, where its batch can be freed and two at
// once get the answers of each alone; otherwise one.
func TestImportProvesThatPicturesGoTogether(t *testing.T) {
	needRuntime(t)
	f32 := onnx.Float32
	start := func(batch int64) *small { return newSmall(11, 6, f32, batch, 3, 20, 20).net(3, 4) }
	shaped := func(s *small, to ...int64) *small {
		return s.then("Reshape", nil, onnx.NewInt64("r", to, int64(len(to))))
	}
	dense := func(s *small) *small { return s.then("MatMul", nil, onnx.NewFloat32("m", noise(16, 4, 1), 4, 4)) }
	resized := func(opset int64, mode string) *small {
		s := newSmall(opset, 8, f32, 1, 3, 12, 12)
		g := &s.m.Graph
		g.Initializers = append(g.Initializers, onnx.NewInt64("sizes", []int64{1, 3, 20, 16}, 4))
		g.Nodes = append(g.Nodes, onnx.Node{OpType: "Resize", Inputs: []string{s.at, "", "", "sizes"},
			Outputs: []string{"larger"}, Attributes: []onnx.Attribute{onnx.String("mode", mode)}})
		if opset >= 18 { // as PyTorch writes it
			last := &g.Nodes[len(g.Nodes)-1]
			last.Attributes = append(last.Attributes, onnx.String("keep_aspect_ratio_policy", "stretch"))
		}
		s.at = "larger"
		return shaped(s.net(3, 4), 1, 4).ends(f32, 1, 4)
	}
	token := func(s *small) *small { // a row beside those of the picture, as the class of a transformer
		shaped(s, 1, 4, 1)
		g := &s.m.Graph
		g.Initializers = append(g.Initializers, onnx.NewFloat32("token", []float32{0.5}, 1, 1, 1))
		g.Nodes = append(g.Nodes, onnx.Node{OpType: "Concat", Inputs: []string{"token", s.at},
			Outputs: []string{"all"}, Attributes: []onnx.Attribute{onnx.Int("axis", 1)}})
		s.at = "all"
		s.classes = 5
		return shaped(s, 1, 5)
	}
	for name, c := range map[string]struct {
		s    *small
		want int64 // pictures at a time, 0: any number
	}{
		"one row, as PyTorch writes it": {newSmall(18, 8, f32, 1, 3, 20, 20).net(3, 4).then("Reshape",
			[]onnx.Attribute{onnx.Int("allowzero", 1)}, onnx.NewInt64("r", []int64{1, 4}, 2)).ends(f32, 1, 4), 0},
		"rows left open":         {shaped(start(0), -1, 4).ends(f32, 0, 4), 0},
		"one row":                {shaped(start(0), 1, 4).ends(f32, 0, 4), 0},
		"one row, the rest open": {shaped(start(1), 1, -1).ends(f32, 1, 4), 0},
		"no row":                 {shaped(start(1), -1).ends(f32, 4), 0},
		"the first of the batch": {start(1).then("Squeeze", nil).ends(f32, 4), 0},
		"parts of a picture": {shaped(shaped(shaped(start(1), 1, 2, 2), 2, 2).then("Relu", nil), 1, 4).
			ends(f32, 1, 4), 0},
		"parts of four pictures":     {shaped(shaped(start(4), 8, 2).then("Relu", nil), 4, 4).ends(f32, 4, 4), 0},
		"a token":                    {token(start(1)).ends(f32, 1, 5), 0},
		"a larger map":               {resized(18, "linear"), 0},
		"a larger map, nearest":      {resized(21, "nearest"), 0},
		"a larger map, older":        {resized(13, "linear"), 1},
		"a layer without rows":       {dense(shaped(start(1), 4)).ends(f32, 4), 1},
		"a layer without rows, open": {dense(shaped(start(0), -1)).ends(f32, 4), 1},
	} {
		out := filepath.Join(t.TempDir(), "b")
		said, err := saying(t, importer.Options{File: c.s.file(t), Labels: "a,b,c,d,e"[:2*c.s.classes-1],
			Preprocess: asItIs, Out: out})
		if err != nil || strings.Contains(said, "one picture at a time") != (c.want == 1) {
			t.Errorf("%s: %v, said %q", name, err, said)
			continue
		}
		m, err := onnx.Open(filepath.Join(out, "fp32.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if got := m.Graph.Inputs[0].Shape[0].Size; max(got, 0) != c.want {
			t.Errorf("%s: the input takes %d pictures, want %d", name, got, c.want)
		}
	}
}

// Pairs in the layout of the file are goldens of the bundle, too: what the file answers to them.
func TestGoldensInTheLayoutOfTheFile(t *testing.T) {
	needRuntime(t)
	s := newSmall(13, 7, onnx.Float32, 1, 14, 20, 3).then("Transpose", perm(0, 3, 1, 2)).net(3, 1).flat().
		ends(onnx.Float32, 1, 1)
	file, dir := s.file(t), t.TempDir()
	x := noise(14*20*3, 4, 1)
	f, err := infer.OpenForeign(t.Context(), onCPU, file, infer.ForeignPorts{Input: "image", Output: s.at,
		Type: onnx.Float32, Shape: []int64{1, 14, 20, 3}})
	if err != nil {
		t.Fatal(err)
	}
	z, err := f.Run(t.Context(), x)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join(dir, "golden.safetensors")
	out, err := os.Create(golden)
	if err != nil {
		t.Fatal(err)
	}
	tensor := func(name string, v []float32, shape ...int64) checkpoint.Out {
		return checkpoint.Out{Name: name, Shape: shape, Source: func(w io.Writer) error {
			_, err := w.Write(onnx.Encode(onnx.Float32, v))
			return err
		}}
	}
	if err := errors.Join(checkpoint.WriteSafetensors(out, []checkpoint.Out{tensor("input", x, 1, 14, 20, 3),
		tensor("logits", z, 1, 1)}, nil), out.Close()); err != nil {
		t.Fatal(err)
	}
	b := filepath.Join(dir, "b")
	if _, err := saying(t, importer.Options{File: file, Labels: "good,bad", Preprocess: asItIs, Golden: golden,
		Out: b}); err != nil {
		t.Fatal(err)
	}
	v, missed := verified(t, b, verify.Options{})
	if missed || v.Golden != "golden.safetensors" || v.Pairs != 1 || v.MaxDiff > 1e-5*v.MaxLogit || z[0] == 0 ||
		math.Abs(v.MaxLogit-math.Abs(float64(z[0]))) > 1e-6 {
		t.Errorf("%+v, the file answers %v", v, z)
	}
}

// The cache of Hugging Face holds links: the model and its data lead into one folder of blobs.
func TestImportThroughACacheOfLinks(t *testing.T) {
	needRuntime(t)
	root := t.TempDir()
	for _, dir := range []string{"blobs", "snapshots/abc", "other"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := func(blob, as string) {
		t.Helper()
		if err := os.Symlink(filepath.Join("../..", blob), filepath.Join(root, "snapshots/abc", as)); err != nil {
			t.Fatal(err)
		}
	}
	const model = "mobilenetv3.new.onnx"
	for name, blob := range map[string]string{model: "blobs/1f", model + ".data": "blobs/2e"} {
		b, err := os.ReadFile(foreign + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, blob), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link("blobs/1f", model)
	link("blobs/2e", model+".data")
	o := importer.Options{File: filepath.Join(root, "snapshots/abc", model), Labels: "a,b,c,d",
		Preprocess: "torchvision", Out: filepath.Join(t.TempDir(), "b")}
	if said, err := saying(t, o); err != nil || !strings.Contains(said, "proven") {
		t.Errorf("%v, said %q", err, said)
	}
	// data that lies elsewhere than the model leads to is refused, as before
	if err := errors.Join(os.Rename(filepath.Join(root, "blobs/2e"), filepath.Join(root, "other/2e")),
		os.Remove(filepath.Join(root, "snapshots/abc", model+".data"))); err != nil {
		t.Fatal(err)
	}
	link("other/2e", model+".data")
	o.Out = filepath.Join(t.TempDir(), "c")
	if _, err := saying(t, o); err == nil || !strings.Contains(err.Error(), "beside the model") {
		t.Errorf("data from another folder: %v", err)
	}
}

// A file that never ends is given up, with a sentence, and leaves nothing behind.
func TestFileThatNeverEnds(t *testing.T) {
	needRuntime(t)
	defer func(before time.Duration) { *importer.EndlessAfter = before }(*importer.EndlessAfter)
	*importer.EndlessAfter = time.Millisecond
	out := filepath.Join(t.TempDir(), "b")
	o := importer.Options{File: "testdata/foreign/se-resnet.legacy.onnx", Labels: "a,b,c,d", Out: out,
		Preprocess: "torchvision"}
	o.Run = func(ctx context.Context, _ infer.Config, _ *infer.ForeignJob) ([][]float32, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, err := saying(t, o); err == nil || !strings.Contains(err.Error(), "did not end") {
		t.Errorf("%v, want that it did not end", err)
	}
	if left, _ := filepath.Glob(filepath.Dir(out) + "/*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// Where the runtime's integers answer otherwise than the file says, as on a processor that cuts off their sums,
// both are run as written; a file without integers gets no second try.
func TestIntegersOfTheProcessor(t *testing.T) {
	needRuntime(t)
	integers := func(s *small) *small {
		scale := onnx.NewFloat32("q", []float32{0.02})
		zero := onnx.Tensor{Name: "z", Type: onnx.Uint8, Data: []byte{128}}
		return s.then("QuantizeLinear", nil, scale, zero).then("DequantizeLinear", nil, scale, zero)
	}
	for name, want := range map[string]string{"integers": "", "floats": "so it was taken for something"} {
		s := newSmall(13, 7, onnx.Float32, 1, 3, 20, 20).net(3, 4).flat()
		if name == "integers" {
			s = integers(s)
		}
		o := importer.Options{File: s.ends(onnx.Float32, 1, 4).file(t), Labels: "a,b,c,d", Preprocess: asItIs,
			Out: filepath.Join(t.TempDir(), "b")}
		o.Run = func(ctx context.Context, c infer.Config, job *infer.ForeignJob) ([][]float32, error) {
			answers, err := infer.RunForeign(ctx, c, job)
			for _, row := range answers {
				if job.Path == o.File && !job.Ports.AsWritten {
					row[0] += 0.5
				}
			}
			return answers, err
		}
		if _, err := saying(t, o); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// A file whose process died is named in one sentence, and leaves nothing behind.
func TestFileThatCrashes(t *testing.T) {
	needRuntime(t)
	out := filepath.Join(t.TempDir(), "b")
	o := importer.Options{File: "testdata/foreign/se-resnet.legacy.onnx", Labels: "a,b,c,d", Out: out,
		Preprocess: "torchvision"}
	for crash := range 2 { // of the original, of what was made of it
		runs := 0
		o.Run = func(ctx context.Context, c infer.Config, job *infer.ForeignJob) ([][]float32, error) {
			if runs++; runs > crash {
				return nil, fmt.Errorf("%w: SIGFPE", importer.ErrCrashed)
			}
			return infer.RunForeign(ctx, c, job)
		}
		_, err := saying(t, o)
		want := "import: " + o.File + ": " + importer.ErrCrashed.Error() + ": SIGFPE"
		if err == nil || err.Error() != want {
			t.Errorf("run %d: %v, want %s", crash, err, want)
		}
		if left, _ := filepath.Glob(filepath.Dir(out) + "/*"); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
}
