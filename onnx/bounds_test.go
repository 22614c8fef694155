package onnx

import "testing"

// TestProbable: what keeps its numbers between 0 and 1 by itself, and what answers with such numbers
// only because the weights are small.
func TestProbable(t *testing.T) {
	net := []Node{node("Gemm", "f w", "l"), node("Sigmoid", "l", "p"), node("Softmax", "l", "q"),
		node("Sqrt", "p", "s"),
		node("Add", "p q", "sum"), node("Greater", "l half", "is"), node("Relu", "l", "r")}
	constants := []Tensor{NewFloat32("w", make([]float32, 6), 2, 3), NewFloat32("half", []float32{0.5}),
		NewFloat32("nothing", []float32{0}), NewFloat32("one", []float32{1}), NewFloat32("six", []float32{6}),
		NewFloat32("two", []float32{2}), NewFloat32("parts", []float32{0.2, 0.3, 0.5}, 3)}
	for name, c := range map[string]struct {
		last Node
		want bool
	}{
		"the layer":                    {node("Identity", "l", "logits"), false},
		"a layer, scaled and moved":    {node("Mul", "l half", "logits"), false},
		"Relu":                         {node("Identity", "r", "logits"), false},
		"LeakyRelu":                    {node("LeakyRelu", "l", "logits"), false},
		"HardSwish":                    {node("HardSwish", "l", "logits"), false},
		"Tanh":                         {node("Tanh", "l", "logits"), false},
		"Clip to six":                  {node("Clip", "l nothing six", "logits"), false},
		"Clip from nothing":            {node("Clip", "l nothing", "logits"), false},
		"Clip from nothing, as it was": {node("Clip", "l", "logits", Float("min", 0)), false},
		"Clip of both":                 {node("Clip", "l nothing one", "logits"), true},
		"a sum":                        {node("Identity", "sum", "logits"), false},
		"a gate":                       {node("Mul", "l p", "logits"), false},
		"a quotient":                   {node("Div", "p q", "logits"), false},
		"less one":                     {node("Sub", "p one", "logits"), false},
		"no picture":                   {node("Identity", "x", "logits"), false},
		"HardSigmoid":                  {node("HardSigmoid", "l", "logits"), true},
		"a root":                       {node("Identity", "s", "logits"), true},
		"a square":                     {node("Pow", "p two", "logits"), true},
		"a mean":                       {node("Mean", "p q", "logits"), true},
		"half a sum":                   {node("Mul", "sum half", "logits"), true},
		"half a sum, divided":          {node("Div", "sum two", "logits"), true},
		"twice":                        {node("Mul", "p two", "logits"), false},
		"a product":                    {node("Mul", "p q", "logits"), true},
		"parts":                        {node("Mul", "p parts", "logits"), true},
		"the least":                    {node("Min", "p q", "logits"), true},
		"the least of a layer":         {node("Min", "p l", "logits"), false},
		"the most":                     {node("Max", "p s", "logits"), true},
		"the rest":                     {node("Sub", "one p", "logits"), true},
		"one or the other":             {node("Where", "is p nothing", "logits"), true},
		"one or a layer":               {node("Where", "is p l", "logits"), false},
		"whether it is more":           {node("Cast", "is", "logits"), true},
		"another domain": {Node{OpType: "Act", Domain: "own", Inputs: []string{"l"},
			Outputs: []string{"logits"}}, true},
		"a layer of another domain": {Node{OpType: "FusedGemm", Domain: "com.microsoft", Inputs: []string{"f", "w"},
			Outputs: []string{"logits"}}, false},
	} {
		m := withLast(append(net[:len(net):len(net)], c.last), constants...)
		if got := newHead(&m.Graph, "logits").probable("logits"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
