package importer_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/onnx"
)

var (
	mutants = flag.Int("mutants", 30, "changed files of TestMutatedNetworks")
	from    = flag.Int("mutants-from", 0, "the first of them")
	graphs  = flag.String("graphs", "testdata/foreign/*.onnx", "the files that they are made of, of 3 or 4 labels")
)

// TestMutatedNetworks changes something in real exports of PyTorch, one to three times each: nodes,
// edges, attributes, constants, ports, the opset, or bytes of the file. Either the import refuses
// what comes of it, or the bundle answers as ONNX Runtime does with the changed file itself.
func TestMutatedNetworks(t *testing.T) {
	needRuntime(t)
	files, err := filepath.Glob(*graphs)
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: no files %s", err, *graphs)
	}
	alike := 0 // runs again by number: -run TestMutatedNetworks/17
	for seed := *from; seed < *from+*mutants; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := mutated(t, rand.New(rand.NewPCG(uint64(seed), 26)), files)
			o := importer.Options{File: s.written, Preprocess: asItIs, Out: filepath.Join(t.TempDir(), "b")}
			for _, o.Labels = range []string{"a,b,c,d", "a,b,c"} {
				if _, err := saying(t, o); err == nil {
					answersAlike(t, s, o.Out)
					alike++
					return
				}
			}
		})
	}
	t.Logf("%d of %d came in", alike, *mutants)
	if *mutants >= 30 && alike == 0 {
		t.Error("nothing came in: the changes are too coarse to tell anything")
	}
}

// mutated is a changed copy of one of the files, written anew.
func mutated(t *testing.T, r *rand.Rand, files []string) *small {
	t.Helper()
	m, err := onnx.Open(files[r.IntN(len(files))])
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := &small{m: *m}
	for range 1 + r.IntN(3) {
		change(r, &s.m)
	}
	path := s.file(t)
	if r.IntN(8) > 0 {
		return s
	}
	data, err := os.ReadFile(path)
	for range 1 + r.IntN(4) {
		data[r.IntN(len(data))] ^= 1 << r.IntN(8)
	}
	if err = errors.Join(err, os.WriteFile(path, data, 0o644)); err != nil {
		t.Fatal(err)
	}
	return s
}

// change makes one change to a graph.
func change(r *rand.Rand, m *onnx.Model) {
	g := &m.Graph
	if len(g.Nodes) == 0 {
		return
	}
	at := r.IntN(len(g.Nodes))
	n := &g.Nodes[at]
	switch r.IntN(12) {
	case 0: // one operator less
		if len(n.Inputs) > 0 {
			n.OpType, n.Attributes, n.Inputs, n.Outputs = "Identity", nil, n.Inputs[:1], n.Outputs[:1]
		}
	case 1: // another operator of its kind
		n.OpType = []string{"Relu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Neg", "Abs", "Softmax", "Exp",
			"Add", "Sub", "Mul", "Max", "MaxPool", "AveragePool", "GlobalMaxPool", "Flatten", "Shape"}[r.IntN(18)]
	case 2:
		slices.Reverse(n.Inputs)
	case 3: // another edge
		if other := &g.Nodes[r.IntN(at+1)]; len(n.Inputs) > 0 && len(other.Outputs) > 0 {
			n.Inputs[r.IntN(len(n.Inputs))] = other.Outputs[0]
		}
	case 4:
		changeAttribute(r, n)
	case 5:
		changeConstant(r, g)
	case 6:
		changePort(r, g)
	case 7: // what is inside becomes an answer, before or behind the others
		more := onnx.ValueInfo{Name: n.Outputs[0], Type: onnx.Float32}
		g.Outputs = slices.Insert(g.Outputs, r.IntN(len(g.Outputs)+1), more)
	case 8:
		g.Outputs[0].Name = n.Outputs[0]
	case 9:
		m.Opsets[0].Version += int64(r.IntN(9) - 4)
	case 10:
		other := r.IntN(len(g.Nodes))
		g.Nodes[at], g.Nodes[other] = g.Nodes[other], g.Nodes[at]
	default:
		insert(r, g, at)
	}
}

// insert puts an operator between a node and the first that it reads.
func insert(r *rand.Rand, g *onnx.Graph, at int) {
	n := &g.Nodes[at]
	if len(n.Inputs) == 0 {
		return
	}
	op := onnx.Node{OpType: []string{"Identity", "Relu", "Sigmoid", "Softmax", "Neg", "HardSwish", "Transpose", "Cast",
		"Shape", "Squeeze"}[r.IntN(10)], Inputs: n.Inputs[:1:1], Outputs: []string{fmt.Sprint("inserted/", r.Uint32())}}
	switch op.OpType {
	case "Cast":
		op.Attributes = to([]onnx.DataType{onnx.Float16, onnx.Float32, onnx.Int64}[r.IntN(3)])
	case "Transpose":
		op.Attributes = perm(0, 1, 3, 2)
	}
	n.Inputs[0] = op.Outputs[0]
	g.Nodes = slices.Insert(g.Nodes, at, op)
}

// changeAttribute changes a number in one of a node's attributes, or drops it.
func changeAttribute(r *rand.Rand, n *onnx.Node) {
	if len(n.Attributes) == 0 {
		return
	}
	at := r.IntN(len(n.Attributes))
	a := &n.Attributes[at]
	switch {
	case r.IntN(3) == 0:
		n.Attributes = slices.Delete(slices.Clone(n.Attributes), at, at+1)
	case len(a.Ints) > 0:
		a.Ints = slices.Clone(a.Ints)
		a.Ints[r.IntN(len(a.Ints))] += int64(r.IntN(5) - 2)
	default:
		a.Int, a.Float = a.Int+int64(r.IntN(5)-2), a.Float*float32(r.IntN(4))
	}
}

// changeConstant changes shape, type or a value of one of the graph's constants.
func changeConstant(r *rand.Rand, g *onnx.Graph) {
	if len(g.Initializers) == 0 {
		return
	}
	c := &g.Initializers[r.IntN(len(g.Initializers))]
	switch r.IntN(4) {
	case 0:
		c.Dims = slices.Clone(c.Dims)
		slices.Reverse(c.Dims)
	case 1:
		c.Dims = []int64{c.Elements()}
	case 2:
		wide := map[onnx.DataType]onnx.DataType{onnx.Float32: onnx.Int32, onnx.Int64: onnx.Float64}
		if same := wide[c.Type]; same != 0 {
			c.Type = same
		}
	default:
		if len(c.Data) > 0 {
			c.Data = slices.Clone(c.Data)
			c.Data[r.IntN(len(c.Data))] ^= 1 << r.IntN(8)
		}
	}
}

// changePort changes a length, the number of dimensions or the type of an input or output.
func changePort(r *rand.Rand, g *onnx.Graph) {
	p := &g.Outputs[r.IntN(len(g.Outputs))]
	if r.IntN(2) == 0 && len(g.Inputs) > 0 {
		p = &g.Inputs[0]
	}
	p.Shape = slices.Clone(p.Shape)
	switch d := r.IntN(max(len(p.Shape), 1)); {
	case len(p.Shape) == 0:
		p.Shape = dims(1, 4)
	case r.IntN(4) == 0:
		p.Shape = slices.Delete(p.Shape, d, d+1)
	case r.IntN(4) == 0:
		p.Type = []onnx.DataType{onnx.Float16, onnx.Uint8, onnx.Int64, onnx.Float64}[r.IntN(4)]
	default:
		p.Shape[d] = []onnx.Dim{{Name: "n"}, {Size: 1}, {Size: 2}, {Size: 3}, {Size: 32}, {Size: 65}}[r.IntN(6)]
	}
}
