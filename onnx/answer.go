package onnx

import (
	"fmt"
	"math"
	"slices"
)

// answer is an output that can hold a row of scores for each picture.
type answer struct {
	name        string // of the output, or of the tensor in front of a ZipMap or a QuantizeLinear
	kind        DataType
	certain     bool // its shape says so
	rows        bool // it is declared N×K
	single      bool // one number for each picture
	flat        bool // K alone
	head        Head
	probability bool   // of a single one: a sigmoid makes it
	at          string // the tensor with the raw scores, once taken
	rounded     bool   // a softmax or sigmoid was rounded behind
	probable    bool   // what makes them keeps them between 0 and 1
}

var scoreTypes = map[DataType]bool{Float32: true, Float16: true, Float64: true, BFloat16: true, Uint8: true, 0: true}

// scores finds the output that holds the scores, and what in front of it makes them.
func (g *Graph) scores(w *Wanted, p *Picture) (*answer, error) {
	outputs := g.Outputs
	if w.Output != "" {
		i := slices.IndexFunc(outputs, func(o ValueInfo) bool { return o.Name == w.Output })
		switch {
		case i >= 0:
			outputs = outputs[i : i+1]
		case g.makes(w.Output):
			outputs = []ValueInfo{{Name: w.Output, Type: Float32}}
		default:
			return nil, fmt.Errorf("onnx: --output: the model has no %q; its outputs are %s", w.Output,
				ports(g.Outputs))
		}
	} else if slices.ContainsFunc(outputs, func(o ValueInfo) bool { return !isSignal(o.Name) }) {
		outputs = slices.DeleteFunc(slices.Clone(outputs), func(o ValueInfo) bool { return isSignal(o.Name) })
	}
	shapes := g.Shapes()
	var fit []answer
	var refused error
	for _, o := range outputs {
		a := g.candidate(o, shapes, w, p)
		if a == nil {
			continue
		}
		trial := Graph{Nodes: slices.Clone(g.Nodes), Initializers: g.Initializers, Inputs: g.Inputs}
		if err := a.take(&trial); err != nil {
			refused = err
			continue
		}
		fit = append(fit, *a)
	}
	if slices.ContainsFunc(fit, func(a answer) bool { return a.certain }) {
		fit = slices.DeleteFunc(fit, func(a answer) bool { return !a.certain })
	}
	same := !slices.ContainsFunc(fit, func(a answer) bool { return a.at != fit[0].at })
	switch {
	case len(fit) == 1 || len(fit) > 1 && same: // logits and probabilities of one network, say
		return &fit[max(0, slices.IndexFunc(fit, func(a answer) bool { return a.head != HeadRaw }))], nil
	case len(fit) > 1:
		return nil, fmt.Errorf("onnx: several outputs can hold one score for each label: %s: choose with --output",
			ports(outputs))
	case refused != nil:
		return nil, refused
	}
	if n := rowOf(outputs, shapes); n > 1 {
		return nil, &CountError{Scores: n, Labels: w.Classes}
	}
	return nil, fmt.Errorf("onnx: one output must be float32[N %d], one score for each label; this model has %s%s",
		w.Classes, ports(outputs), outputCure(outputs, shapes, int64(p.Batch)))
}

// CountError says that a network answers with a row of scores, and that there are more or fewer labels.
type CountError struct{ Scores, Labels int }

// Error names both numbers.
func (e *CountError) Error() string {
	return fmt.Sprintf("onnx: the network answers with %d scores for each picture, there are %d labels: give %[1]d "+
		"labels", e.Scores, e.Labels)
}

// rowOf is how many scores a picture gets where the one output is a row of them, else 0.
func rowOf(outputs []ValueInfo, shapes map[string][]int64) int {
	if len(outputs) != 1 || !scoreTypes[outputs[0].Type] || outputs[0].packed() {
		return 0
	}
	s := shapeOf(outputs[0].Shape, outputs[0].Name, shapes)
	count, long := int64(1), 0
	for i, d := range s {
		if i == 0 {
			continue
		}
		if d.Size > 1 {
			long++
		}
		count *= max(d.Size, 0)
	}
	if long != 1 || count > math.MaxInt32 { // of several, an answer for every place
		return 0
	}
	return int(count)
}

// outputCure says what to give, or how the export has to change, for the output to fit.
func outputCure(outputs []ValueInfo, shapes map[string][]int64, batch int64) string {
	if len(outputs) != 1 {
		return ""
	}
	s := shapeOf(outputs[0].Shape, outputs[0].Name, shapes)
	switch {
	case outputs[0].packed():
		return ": that is a sequence, a map or an optional value: export the tensor with the scores, or name it with " +
			"--output"
	case outputs[0].Type != 0 && !scoreTypes[outputs[0].Type]:
		return ": export the scores that it is made of, in float32"
	case len(s) == 4 && s[2].Size != 1 && s[3].Size != 1:
		return ": it answers with a map; pool it to one row before the export"
	case len(s) == 3 && s[1].Size != 1 && s[2].Size != 1:
		return ": it answers for each of several places (text, boxes), which classifies no picture"
	case len(s) == 2 && s[1].Size == 1, s != nil && len(s) == 0,
		len(s) == 1 && s[0].Size <= max(batch, 1):
		return ": one score tells two labels apart: give two, first the one that 0 means"
	case outputs[0].Type == Float32:
		return ": flatten its answer to one row before the export"
	}
	return ""
}

func (g *Graph) makes(t string) bool {
	return slices.ContainsFunc(g.Nodes, func(n Node) bool { return slices.Contains(n.Outputs, t) })
}

// packOps make another kind of value of the one tensor that they are given.
var packOps = map[string]bool{"ZipMap": true, "SequenceConstruct": true, "Optional": true}

// packed tells whether the file says of a value that it is no tensor: a sequence, a map, an optional one.
func (v *ValueInfo) packed() bool { return v.Type == 0 && len(v.restType) > 0 }

// candidate looks at an output by its type and shape; nil: it holds no scores. Of what only packs
// the scores up, a ZipMap or a sequence, it takes what is packed; of integers that stand for numbers,
// the numbers.
func (g *Graph) candidate(o ValueInfo, shapes map[string][]int64, w *Wanted, p *Picture) *answer {
	a := &answer{name: o.Name, kind: o.Type}
	shape := o.Shape
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if slices.Contains(n.Outputs, o.Name) && packOps[n.OpType] && len(n.Inputs) == 1 {
			a.name, a.kind, shape = n.Inputs[0], 0, nil
		}
		if slices.Contains(n.Outputs, o.Name) && n.OpType == "QuantizeLinear" {
			a.name, a.kind = n.Inputs[0], 0
		}
	}
	if !scoreTypes[a.kind] || a.name == o.Name && o.packed() {
		return nil
	}
	if shape = shapeOf(shape, a.name, shapes); shape == nil {
		return a
	}
	if !a.fits(shape, int64(w.Classes), int64(p.Batch)) {
		return nil
	}
	return a
}

// shapeOf is the shape that is declared of a tensor, or where none is, the one worked out; nil: neither.
func shapeOf(declared []Dim, tensor string, shapes map[string][]int64) []Dim {
	known, ok := shapes[tensor]
	if declared != nil || !ok {
		return declared
	}
	shape := make([]Dim, len(known)) // of a single number: empty, not unknown
	for i, d := range known {
		shape[i].Size = d
	}
	return shape
}

// fits tells whether a tensor of the shape can hold a score for each of so many labels, or one
// score for two, for each of the pictures of a batch (0: of any).
func (a *answer) fits(shape []Dim, classes, batch int64) bool {
	count, open := int64(1), 0
	if len(shape) > 1 {
		if b := shape[0].Size; b > 1 && batch > 0 && b != batch {
			return false
		}
		for _, d := range shape[1:] {
			if d.Size <= 0 {
				open++
			} else {
				count *= d.Size
			}
		}
	} else if len(shape) == 1 && shape[0].Size > 1 && shape[0].Size != batch {
		count, a.flat = shape[0].Size, true // without a batch
	}
	a.certain = open == 0
	a.single = a.certain && count == 1 && classes == 2
	a.rows = len(shape) == 2
	return a.single || count == classes || open > 0 && len(shape) == 2 && count == 1
}

// take makes the graph hold the raw scores in a.at.
func (a *answer) take(g *Graph) error {
	h := newHead(g, a.name)
	h.flat = a.flat
	head, err := h.take()
	if err != nil {
		return err
	}
	a.at, a.head = h.out, head
	a.rounded = slices.ContainsFunc(h.tail, func(i int) bool { return g.Nodes[i].OpType == "DequantizeLinear" })
	a.probable = head == HeadRaw && h.probable(a.name)
	if a.single {
		a.probability = head == HeadSigmoid
		if a.head = HeadOne; head == HeadSoftmax {
			return fmt.Errorf("onnx: the network answers with a softmax of one score, which is always 1")
		}
	}
	return nil
}

// unshaped is the tensor in front of what only arranges the numbers of t in other dimensions.
func (g *Graph) unshaped(t string) string {
	for range g.Nodes {
		i := slices.IndexFunc(g.Nodes, func(n Node) bool { return slices.Contains(n.Outputs, t) })
		if i < 0 {
			break
		}
		switch n := &g.Nodes[i]; n.OpType {
		case "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity":
			t = n.Inputs[0]
		default:
			return t
		}
	}
	return t
}
