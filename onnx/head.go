package onnx

import (
	"errors"
	"fmt"
	"slices"
)

// head is the way from the network's raw scores to an output.
type head struct {
	g    *Graph
	by   map[string]int  // tensor → the node that makes it
	fed  map[string]bool // tensors that depend on what a caller feeds
	tail []int           // nodes behind the scores, from the output up, each with its one fed input
	out  string
	flat bool   // the output is one row, without a batch
	made string // what makes the probabilities: a word for messages
}

func newHead(g *Graph, out string) *head {
	h := &head{g: g, by: map[string]int{}, fed: map[string]bool{}, out: out}
	for i, n := range g.Nodes {
		for _, t := range n.Outputs {
			h.by[t] = i
		}
	}
	for _, in := range g.FreeInputs() {
		h.fed[in.Name] = true
	}
	for more := true; more; { // the nodes of a file need not be sorted
		more = false
		for i := range g.Nodes {
			n := &g.Nodes[i]
			if slices.ContainsFunc(n.Reads(), func(t string) bool { return h.fed[t] }) {
				for _, t := range n.Outputs {
					more = more || !h.fed[t]
					h.fed[t] = true
				}
			}
		}
	}
	return h
}

// Reads are the inputs of a node and what the graphs inside it, of an If or Loop, read: also what
// they make themselves. The result is the caller's.
func (n *Node) Reads() []string {
	all := slices.Clone(n.Inputs)
	for _, a := range n.Attributes {
		if a.Graph == nil {
			continue
		}
		for i := range a.Graph.Nodes {
			all = append(all, a.Graph.Nodes[i].Reads()...)
		}
		for _, o := range a.Graph.Outputs {
			all = append(all, o.Name)
		}
	}
	return all
}

// Operators behind the scores. Those of keepOps pass raw scores on as they pass probabilities on;
// those of roundOps are made for 0 to 1 and go with the Softmax; what one of mixOps makes of
// probabilities cannot be made of raw scores.
var (
	keepOps = map[string]bool{"Identity": true, "Cast": true, "Reshape": true, "Flatten": true, "Squeeze": true,
		"Unsqueeze": true, "Dropout": true, "Transpose": true}
	roundOps = map[string]bool{"Clip": true, "QuantizeLinear": true, "DequantizeLinear": true}
	mixOps   = map[string]bool{"Mul": true, "Add": true, "Sub": true, "Div": true, "Min": true, "Max": true,
		"Round": true, "Floor": true, "Ceil": true, "Sqrt": true, "Pow": true, "Concat": true, "Gather": true,
		"Slice": true, "Split": true, "Where": true, "Sum": true, "Mean": true, "Neg": true, "Pad": true,
		"ReduceMean": true, "ReduceSum": true, "Reciprocal": true, "Abs": true}
	chosenOps = map[string]bool{"TopK": true, "ArgMax": true, "ArgMin": true, "Hardmax": true, "OneHot": true,
		"NonMaxSuppression": true}
)

// take makes the tensor out hold raw scores: it takes a softmax or sigmoid off, in whatever form,
// and refuses what a row of scores cannot be read from. It tells what it took off.
func (h *head) take() (Head, error) {
	at := h.out
	for {
		n := h.maker(at)
		if n == nil {
			return HeadRaw, nil
		}
		if scores, ok, err := h.softmax(n, at); ok || err != nil {
			if err == nil {
				h.made = "Softmax"
				err = errors.Join(h.chosen(scores), h.bypass(scores))
			}
			return HeadSoftmax, err
		}
		if scores := h.sigmoid(n, at); scores != "" {
			h.made = "sigmoid"
			return HeadSigmoid, errors.Join(h.chosen(scores), h.bypass(scores))
		}
		if err := h.refused(n); err != nil {
			return "", err
		}
		fed := h.fedInput(n)
		if fed == "" || !keepOps[n.OpType] && !roundOps[n.OpType] && !mixOps[n.OpType] {
			return HeadRaw, nil
		}
		h.tail = append(h.tail, h.by[at])
		at = fed
	}
}

func (h *head) maker(t string) *Node {
	if i, ok := h.by[t]; ok {
		return &h.g.Nodes[i]
	}
	return nil
}

// fedInput is the one input that depends on the picture, "" where there are several.
func (h *head) fedInput(n *Node) string {
	fed := ""
	for _, t := range n.Inputs {
		switch {
		case !h.fed[t] || t == fed:
		case fed != "":
			return ""
		default:
			fed = t
		}
	}
	return fed
}

// refused says of a node why no row of scores can be read from what it answers.
func (h *head) refused(n *Node) error {
	switch {
	case chosenOps[n.OpType]:
		return fmt.Errorf("onnx: the output comes from %s, which answers with the best classes only, not with one "+
			"score for each label: export the scores in front of it", n.OpType)
	case n.OpType == "HardSigmoid":
		return errors.New("onnx: the network ends in a hard sigmoid, of which raw scores cannot be told: export " +
			"the scores in front of it")
	}
	return nil
}

// chosen refuses scores of the best classes, in the order of the scores, in front of what makes
// probabilities of them.
func (h *head) chosen(scores string) error {
	for n := h.maker(scores); n != nil; n = h.maker(h.fedInput(n)) {
		if chosenOps[n.OpType] {
			return h.refused(n)
		}
		if !keepOps[n.OpType] && !roundOps[n.OpType] && !mixOps[n.OpType] {
			break
		}
	}
	return nil
}

// sigmoid recognizes a node that makes a probability of each score by itself, and returns the
// tensor of the scores.
func (h *head) sigmoid(n *Node, at string) string {
	switch {
	case n.OpType == "Sigmoid":
		return first(n.Inputs)
	case n.OpType == "QLinearSigmoid" && len(n.Inputs) >= 3:
		return h.dequantized(n, at)
	}
	if scores := h.halfTanh(at); scores != "" {
		return scores
	}
	if scores := h.softLogistic(n); scores != "" {
		return scores
	}
	exp := h.logistic(n)
	if exp == nil {
		return ""
	}
	if n.OpType == "Div" && h.fed[n.Inputs[0]] { // exp x/(1+exp x)
		return first(exp.Inputs)
	}
	if neg := h.maker(first(exp.Inputs)); neg != nil && neg.OpType == "Neg" {
		return first(neg.Inputs)
	}
	exp.OpType = "Neg" // nothing else is left of the sigmoid once it is off
	return exp.Outputs[0]
}

// logistic recognizes 1/(1+exp(−x)), and exp(x)/(1+exp(x)), where they are written out, and returns
// the Exp.
func (h *head) logistic(n *Node) *Node {
	if n.OpType != "Div" && n.OpType != "Reciprocal" || len(n.Inputs) == 0 {
		return nil
	}
	if n.OpType == "Div" && h.fed[n.Inputs[0]] { // exp x/(1+exp x), not x·sigmoid x
		if above := h.through(n.Inputs[0]); above == nil || above.OpType != "Exp" {
			return nil
		}
	}
	add := h.through(n.Inputs[len(n.Inputs)-1])
	if add == nil || add.OpType != "Add" || !h.one(add) || n.OpType == "Div" && !h.fed[n.Inputs[0]] &&
		!h.isOne(n.Inputs[0]) {
		return nil
	}
	if exp := h.through(h.fedInput(add)); exp != nil && exp.OpType == "Exp" {
		return exp
	}
	return nil
}

// softLogistic recognizes exp(−softplus(−x)), the exponential of PyTorch's logsigmoid, and returns the
// tensor x.
func (h *head) softLogistic(n *Node) string {
	for _, want := range []string{"Exp", "Neg", "Softplus"} {
		if n == nil || n.OpType != want {
			return ""
		}
		n = h.through(first(n.Inputs))
	}
	if n == nil || n.OpType != "Neg" {
		return ""
	}
	return first(n.Inputs)
}

// halfTanh recognizes ½·tanh(½·x)+½, a sigmoid as XLA writes it, and returns the tensor x.
func (h *head) halfTanh(at string) string {
	scale, shift, from := h.affine(at)
	n := h.maker(from)
	if n == nil || n.OpType != "Tanh" || scale != 0.5 || shift != 0.5 {
		return ""
	}
	if scale, shift, from = h.affine(first(n.Inputs)); scale != 0.5 || shift != 0 {
		return ""
	}
	return from
}

// affine follows t through products, quotients and sums with one constant number each: it is
// scale·from+shift.
func (h *head) affine(t string) (scale, shift float32, from string) {
	for scale = 1; ; {
		n := h.maker(t)
		if n == nil || len(n.Inputs) != 2 || h.fed[n.Inputs[0]] == h.fed[n.Inputs[1]] {
			return scale, shift, t
		}
		fed := h.fedInput(n)
		constant := n.Inputs[0]
		if fed == constant {
			constant = n.Inputs[1]
		}
		c, ok := h.number(constant)
		switch {
		case ok && n.OpType == "Mul":
			scale *= c
		case ok && n.OpType == "Add":
			shift += scale * c
		case ok && n.OpType == "Div" && fed == n.Inputs[0]:
			scale /= c
		default:
			return scale, shift, t
		}
		t = fed
	}
}

// one tells whether an Add adds 1.
func (h *head) one(add *Node) bool {
	return slices.ContainsFunc(add.Inputs, func(t string) bool { return !h.fed[t] && h.isOne(t) })
}

// isOne tells whether the tensor is a constant of ones.
func (h *head) isOne(t string) bool {
	c, ok := h.number(t)
	return ok && c == 1
}

// number is the value of a constant tensor whose elements are all the same.
func (h *head) number(t string) (value float32, ok bool) {
	c := h.g.Initializer(t)
	if n := h.maker(t); c == nil && n != nil && n.OpType == "Constant" {
		if a := n.Attribute("value"); a != nil {
			c = a.Tensor
		} else if a := n.Attribute("value_float"); a != nil {
			return a.Float, true
		}
	}
	if c == nil || c.Type != Float32 || len(c.Data) == 0 {
		return 0, false
	}
	all := c.Float32s()
	return all[0], !slices.ContainsFunc(all, func(v float32) bool { return v != all[0] })
}

// through is the node that makes t, past those that pass values on.
func (h *head) through(t string) *Node {
	n := h.maker(t)
	for n != nil && keepOps[n.OpType] && h.fedInput(n) != "" {
		n = h.maker(h.fedInput(n))
	}
	return n
}

// softmax recognizes a node that makes probabilities of scores, and returns the tensor of the
// scores. A row may be shifted as a whole: a softmax of it stays the same.
func (h *head) softmax(n *Node, at string) (scores string, ok bool, err error) {
	switch n.OpType {
	case "Softmax":
		if a := n.Attribute("axis"); a != nil && a.Int == 0 && !h.flat {
			return "", false, fmt.Errorf("onnx: the last Softmax goes over the pictures of a batch (axis 0), not " +
				"over the labels: export the network with a Softmax over axis 1, or with none")
		}
		return first(n.Inputs), len(n.Inputs) == 1, nil
	case "QLinearSoftmax":
		return h.dequantized(n, at), len(n.Inputs) >= 3, nil
	case "Exp": // of a LogSoftmax or of x − log Σ exp x
		from := h.through(first(n.Inputs))
		if from != nil && (from.OpType == "LogSoftmax" || from.OpType == "Sub" && h.logSum(from)) {
			return n.Inputs[0], true, nil
		}
	case "Div", "Mul":
		if len(n.Inputs) == 2 {
			exp := h.through(n.Inputs[0])
			if exp != nil && exp.OpType == "Exp" && h.sumOf(n.Inputs[1], exp) {
				return exp.Inputs[0], true, nil
			}
			exp = h.through(n.Inputs[1])
			if n.OpType == "Mul" && exp != nil && exp.OpType == "Exp" && h.sumOf(n.Inputs[0], exp) {
				return exp.Inputs[0], true, nil
			}
		}
	}
	return "", false, nil
}

// sumOf tells whether t is the sum of what exp puts out, or one by it, possibly kept above zero.
func (h *head) sumOf(t string, exp *Node) bool {
	for range 8 {
		n := h.maker(t)
		if n == nil {
			return false
		}
		if n.OpType == "ReduceSum" {
			return h.through(n.Inputs[0]) == exp
		}
		if t = h.fedInput(n); t == "" {
			return false
		}
	}
	return false
}

// logSum tells whether the node takes a logarithm of a sum of exponentials away.
func (h *head) logSum(sub *Node) bool {
	if len(sub.Inputs) != 2 {
		return false
	}
	n := h.through(sub.Inputs[1])
	for range 8 {
		if n == nil {
			return false
		}
		if n.OpType == "ReduceLogSumExp" || n.OpType == "Log" {
			return true
		}
		n = h.through(h.fedInput(n))
	}
	return false
}

// dequantized puts a DequantizeLinear in the place of a QLinearSoftmax and returns what it reads.
func (h *head) dequantized(n *Node, at string) string {
	*n = Node{OpType: "DequantizeLinear", Name: n.Name, Inputs: slices.Clone(n.Inputs[:min(3, len(n.Inputs))]),
		Outputs: []string{at + "/scores"}}
	return n.Outputs[0]
}

// bypass leads the scores to the output: past what made probabilities of them and what is made for
// those, through what only passes values on.
func (h *head) bypass(scores string) error {
	for _, i := range slices.Backward(h.tail) {
		n := &h.g.Nodes[i]
		switch {
		case mixOps[n.OpType]:
			return fmt.Errorf("onnx: the network makes its answer of a %s by %s, so neither raw scores nor "+
				"probabilities come out: export the scores in front of the %[1]s", h.made, n.OpType)
		case keepOps[n.OpType]:
			fed := h.fedInput(n)
			n.Inputs = slices.Clone(n.Inputs)
			for k, t := range n.Inputs {
				if t == fed {
					n.Inputs[k] = scores
				}
			}
			scores = n.Outputs[0]
		}
	}
	h.out = scores
	return nil
}

// prune drops the nodes that nothing needs that makes the tensor out.
func (g *Graph) prune(out string) {
	by := map[string]int{}
	for i, n := range g.Nodes {
		for _, t := range n.Outputs {
			by[t] = i
		}
	}
	needed, todo := map[int]bool{}, []string{out}
	for len(todo) > 0 {
		t := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if i, made := by[t]; made && !needed[i] {
			needed[i] = true
			todo = append(todo, g.Nodes[i].Reads()...)
		}
	}
	var kept []Node
	for i, n := range g.Nodes {
		if needed[i] {
			kept = append(kept, n)
		}
	}
	g.Nodes = kept
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}
