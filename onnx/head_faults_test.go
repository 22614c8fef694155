package onnx

import (
	"strings"
	"testing"
)

// withTail is a classifier of three classes whose scores go through the nodes given, of which each
// reads what the one before it puts out where it says "".
func withTail(nodes ...Node) *Model {
	m := classifier(Dim{Name: "N"}, Dim{Size: 64}, 3)
	m.Graph.Nodes = m.Graph.Nodes[:1]
	m.Graph.Initializers = []Tensor{
		NewFloat32("c", []float32{0.5}),
		NewFloat32("one", []float32{1}),
		NewInt64("shape", []int64{-1, 3}, 2),
	}
	at := "scores"
	for i, n := range nodes {
		for k, t := range n.Inputs {
			if t == "" {
				n.Inputs[k] = at
			}
		}
		if n.Outputs == nil {
			n.Outputs = []string{"t" + string(rune('a'+i))}
		}
		at = n.Outputs[0]
		m.Graph.Nodes = append(m.Graph.Nodes, n)
	}
	m.Graph.Outputs[0].Name = at
	return m
}

func op(kind string, inputs ...string) Node {
	if inputs == nil {
		inputs = []string{""}
	}
	return Node{OpType: kind, Inputs: inputs}
}

func named(n Node, out string) Node {
	n.Outputs = []string{out}
	return n
}

// left are the operators behind the first that a classifier keeps.
func left(m *Model) string {
	var words []string
	for _, n := range m.Graph.Nodes[1:] {
		words = append(words, n.OpType)
	}
	return strings.Join(words, " ")
}

func TestASoftmaxIsTakenOffInEveryForm(t *testing.T) {
	for name, c := range map[string]struct {
		tail []Node
		want string
	}{
		"cast":     {[]Node{op("Softmax"), op("Cast")}, "Cast"},
		"identity": {[]Node{op("Cast"), op("Softmax"), op("Identity"), op("Identity")}, "Cast Identity Identity"},
		"reshape":  {[]Node{op("Softmax"), op("Reshape", "", "shape")}, "Reshape"},
		"unsqueeze": {[]Node{op("Unsqueeze"), op("Softmax"), op("Squeeze"), op("Flatten")},
			"Unsqueeze Squeeze Flatten"},
		"clip": {[]Node{op("Softmax"), op("Clip", "", "c", "c")}, ""},
		"Q and DQ": {[]Node{op("Softmax"), op("QuantizeLinear", "", "c"), op("DequantizeLinear", "", "c"),
			op("Cast")}, "Cast"},
		"QLinear": {[]Node{op("QuantizeLinear", "", "c"), op("QLinearSoftmax", "", "c", "c", "c", "c"),
			op("DequantizeLinear", "", "c")}, "QuantizeLinear DequantizeLinear"},
		"written out": {[]Node{named(op("ReduceMax"), "m"), named(op("Sub", "scores", "m"), "s"), named(op("Exp"), "e"),
			named(op("ReduceSum", "e"), "sum"), op("Div", "e", "sum")}, "ReduceMax Sub"},
		"without a shift": {[]Node{named(op("Exp"), "e"), named(op("ReduceSum"), "sum"), op("Div", "e", "sum"),
			op("Cast")}, "Cast"},
		"by a product": {[]Node{named(op("Exp"), "e"), named(op("ReduceSum"), "sum"), named(op("Reciprocal"), "r"),
			op("Mul", "r", "e")}, ""},
		"kept above zero": {[]Node{named(op("Exp"), "e"), named(op("ReduceSum"), "sum"), named(op("Add", "", "c"), "r"),
			op("Div", "e", "r")}, ""},
		"of a LogSoftmax": {[]Node{op("LogSoftmax"), op("Exp"), op("Cast")}, "LogSoftmax Cast"},
	} {
		m := withTail(c.tail...)
		got, err := m.AsClassifier(Wanted{Classes: 3})
		if err != nil || got.Head != HeadSoftmax {
			t.Errorf("%s: got %+v, %v, want the Softmax off", name, got, err)
			continue
		}
		if left(m) != c.want {
			t.Errorf("%s: %q is left, want %q", name, left(m), c.want)
		}
		last := m.Graph.Nodes[len(m.Graph.Nodes)-1]
		if got.Output != last.Outputs[0] || m.Graph.Outputs[0].Name != got.Output {
			t.Errorf("%s: the output is %s, the last node makes %v", name, got.Output, last.Outputs)
		}
	}
}

// A sigmoid is taken off, too, and its scores are said to stand each for itself.
func TestASigmoidIsTakenOffInEveryForm(t *testing.T) {
	for name, c := range map[string]struct {
		tail []Node
		want string
	}{
		"sigmoid":     {[]Node{op("Sigmoid")}, ""},
		"behind cast": {[]Node{op("Sigmoid"), op("Cast")}, "Cast"},
		"logistic":    {[]Node{op("Neg"), op("Exp"), op("Add", "", "one"), op("Reciprocal")}, ""},
		"by division": {[]Node{op("Mul", "", "c"), op("Exp"), op("Add", "", "one"), op("Div", "one", "")}, "Mul Neg"},
		"tanh":        {[]Node{op("Mul", "", "c"), op("Tanh"), op("Mul", "", "c"), op("Add", "c", "")}, ""},
		"tanh, halved last": {[]Node{op("Mul", "c", ""), op("Tanh"), op("Add", "", "one"), op("Mul", "", "c"),
			op("Cast")}, "Cast"},
		"exp/(1+exp)":   {[]Node{named(op("Exp"), "e"), named(op("Add", "e", "one"), "a"), op("Div", "e", "a")}, ""},
		"of logsigmoid": {[]Node{op("Neg"), op("Softplus"), op("Neg"), op("Exp"), op("Cast")}, "Cast"},
		"QLinear": {[]Node{op("QuantizeLinear", "", "c"), op("QLinearSigmoid", "", "c", "c", "c", "c"),
			op("DequantizeLinear", "", "c")}, "QuantizeLinear DequantizeLinear"},
	} {
		m := withTail(c.tail...)
		got, err := m.AsClassifier(Wanted{Classes: 3})
		if err != nil || got.Head != HeadSigmoid || left(m) != c.want {
			t.Errorf("%s: got %+v, %v, %q left, want %q", name, got, err, left(m), c.want)
		}
	}
}

func TestRawScoresStayAsTheyAre(t *testing.T) {
	for name, tail := range map[string][]Node{
		"logits":       nil,
		"cast":         {op("Cast")},
		"tanh":         {op("Tanh"), op("Mul", "", "c"), op("Add", "c", "")},
		"scaled":       {op("Mul", "", "c")},
		"LogSoftmax":   {op("LogSoftmax")},
		"softplus":     {op("Neg"), op("Softplus"), op("Neg")},
		"deep softmax": {op("Softmax"), op("MatMul", "", "c")},
		"SiLU":         {named(op("Sigmoid"), "s"), op("Mul", "scores", "s")},
		"swish": {named(op("Neg"), "n"), named(op("Exp"), "e"), named(op("Add", "e", "one"), "a"),
			op("Div", "scores", "a")},
	} {
		m := withTail(tail...)
		before := left(m)
		if got, err := m.AsClassifier(Wanted{Classes: 3}); err != nil || got.Head != HeadRaw || left(m) != before {
			t.Errorf("%s: got %+v, %v, %q left, want it untouched", name, got, err, left(m))
		}
	}
}

func TestWhatIsNoRowOfScoresIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		tail []Node
		want string
	}{
		"hard sigmoid": {[]Node{op("HardSigmoid"), op("Clip", "", "c", "c")}, "sigmoid"},
		"TopK":         {[]Node{op("TopK", "", "shape")}, "TopK"},
		"ArgMax":       {[]Node{op("Softmax"), op("ArgMax"), op("Cast")}, "ArgMax"},
		"best first":   {[]Node{op("TopK", "", "shape"), op("Softmax")}, "TopK"},
		"best, scaled": {[]Node{op("TopK", "", "shape"), op("Mul", "", "c"), op("Sigmoid")}, "TopK"},
		"percent":      {[]Node{op("Softmax"), op("Mul", "", "c")}, "by Mul"},
		"a part":       {[]Node{op("Softmax"), op("Slice", "", "shape")}, "by Slice"},
		"over batch": {[]Node{{OpType: "Softmax", Inputs: []string{""}, Attributes: []Attribute{Int("axis", 0)}}},
			"axis 0"},
	} {
		if _, err := withTail(c.tail...).AsClassifier(Wanted{Classes: 3}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want …%s…", name, err, c.want)
		}
	}
}

func TestWhatOnlyAnotherOutputNeedsIsDropped(t *testing.T) {
	m := withTail(op("Softmax"))
	m.Graph.Nodes = append(m.Graph.Nodes, Node{OpType: "ArgMax", Inputs: []string{"ta"}, Outputs: []string{"class"}})
	m.Graph.Outputs = append(m.Graph.Outputs, ValueInfo{Name: "class", Type: Int64, Shape: []Dim{{Name: "N"}}})
	if _, err := m.AsClassifier(Wanted{Classes: 3}); err != nil || left(m) != "" {
		t.Errorf("got %v with %q left, want the ArgMax gone with the Softmax", err, left(m))
	}
}
