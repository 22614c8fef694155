package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// Head says how the raw scores of a classifier become what its file answers with.
type Head string

// The heads that are known.
const (
	HeadRaw     Head = "raw scores"
	HeadSoftmax Head = "a softmax" // taken off
	HeadSigmoid Head = "a sigmoid" // taken off: each label has a score of its own
	HeadOne     Head = "one score" // of the second of two labels, with or without a sigmoid
)

// Wanted is what is known of a classifier besides its file.
type Wanted struct {
	Classes       int     // labels
	Output        string  // which tensor holds the scores; "": the one output that can
	Height, Width int     // of the picture, where the graph leaves them open; 0: not known
	Opaque        float32 // what the fourth channel of a network that takes four always holds

	// Repeat feeds a network that was exported for a batch of several the same picture as often,
	// where its batch cannot be freed.
	Repeat bool
}

// Classifier says what an image classifier was taken for.
type Classifier struct {
	Input, Output string  // of the graph as it is now
	Size          int     // height and width of the input now: the longer side of the picture
	Picture       Picture // the input as the file had it
	Scores        string  // the tensor that the file answers with
	ScoresType    DataType
	Head          Head
	Probability   bool    // HeadOne: the file ends in a sigmoid
	Rounded       bool    // what was taken off was rounded behind it, to a range that ends somewhere
	Probable      bool    // HeadRaw: what makes the scores keeps them between 0 and 1
	Batch         int     // that the file was exported for, 0 where it takes any
	Opaque        float32 // of the fourth channel, where it has one
}

// AsClassifier makes the model what a bundle wants: one input float32[N 3 S S], one output with a
// row of raw scores for each picture. In front of the graph as it came it puts what leads there
// (crop to height×width, a channel less or more, channels last, another type), behind it a Cast and
// a Reshape; a last softmax or sigmoid is taken off, also behind operators that only pass values
// on, and written out; one score becomes two, the first of them 0. What exporters noted of shapes
// inside is dropped, because it may hold their batch, and so is what only other outputs need. On an
// error the model is not to be used.
func (m *Model) AsClassifier(w Wanted) (*Classifier, error) {
	if err := m.Graph.Sound(); err != nil {
		return nil, err
	}
	m.silence()
	inputs := m.Graph.FreeInputs()
	if len(inputs) != 1 {
		return nil, fmt.Errorf("onnx: an image classifier has one input, this model has %s: export it with the "+
			"picture as its only input", strings.TrimSuffix(fmt.Sprintf("%d: %s", len(inputs), ports(inputs)), ": "))
	}
	picture, err := m.picture(inputs[0], &w)
	if err != nil {
		return nil, err
	}
	c := &Classifier{Input: picture.Name, Picture: *picture, Batch: picture.Batch, Opaque: w.Opaque,
		Size: max(picture.Height, picture.Width)}
	out, err := m.Graph.scores(&w, picture)
	if err != nil {
		return nil, err
	}
	c.Scores, c.ScoresType, c.Head, c.Probability = out.name, out.kind, out.head, out.probability
	c.Rounded, c.Probable = out.rounded, out.probable
	if err := out.take(&m.Graph); err != nil {
		return nil, err
	}
	if !out.rows { // they are made anew, of any number of pictures
		out.at = m.Graph.unshaped(out.at)
	}
	m.Graph.prune(out.at)
	if err := m.Graph.leftToChance(); err != nil {
		return nil, err
	}
	m.IRVersion = max(m.IRVersion, 4) // before that, constants must be inputs, too
	if !w.Repeat && !picture.NoBatch {
		m.freeBatch(picture)
	}
	b := builder{m: m, used: m.Graph.names()}
	b.answer(c, out, &w)
	b.feed(c, &w)
	m.Graph.SettleShapes()
	m.Graph.Values = nil
	return c, nil
}

// silence gives a switch between training and use, which some exporters leave an input, its value,
// and drops inputs that nothing reads.
func (m *Model) silence() {
	for _, in := range m.Graph.FreeInputs() {
		name := strings.ToLower(in.Name)
		single := !slices.ContainsFunc(in.Shape, func(d Dim) bool { return d.Size != 1 })
		if in.Type == Bool && single &&
			(strings.Contains(name, "train") || strings.Contains(name, "learning_phase")) {
			m.Graph.Initializers = append(m.Graph.Initializers, Tensor{Name: in.Name, Type: Bool,
				Dims: slices.Repeat([]int64{1}, len(in.Shape)), Data: []byte{0}})
		}
	}
	if len(m.Graph.FreeInputs()) > 1 {
		m.Graph.dropInputs()
	}
}

// dropInputs drops the inputs that nothing reads.
func (g *Graph) dropInputs() {
	read := map[string]bool{}
	for _, out := range g.Outputs {
		read[out.Name] = true
	}
	for i := range g.Nodes {
		for _, t := range g.Nodes[i].Reads() {
			read[t] = true
		}
	}
	g.Inputs = slices.DeleteFunc(g.Inputs, func(in ValueInfo) bool { return !read[in.Name] })
}

// chance are the operators whose answers differ from run to run.
var chance = map[string]bool{"RandomNormal": true, "RandomNormalLike": true, "RandomUniform": true,
	"RandomUniformLike": true, "Multinomial": true, "Bernoulli": true}

// leftToChance is an error where the graph draws random numbers.
func (g *Graph) leftToChance() error {
	for i := range g.Nodes {
		if n := &g.Nodes[i]; chance[n.OpType] {
			return fmt.Errorf("onnx: the network draws random numbers (%s), so its answers differ from run to run: "+
				"export it in evaluation mode", strings.TrimSpace(n.OpType+" "+n.Name))
		}
	}
	return nil
}

// FixBatch makes the model take one picture at a time, as far as its ports say.
func (m *Model) FixBatch() {
	m.Graph.Inputs[0].Shape[0] = Dim{Size: 1}
	m.Graph.Outputs[0].Shape[0] = Dim{Size: 1}
}

// Logit makes a classifier whose scores are probabilities of each label for itself, whatever in it makes
// them so, answer with raw scores: ln p/(1−p), of which a sigmoid is p again.
func (m *Model) Logit(c *Classifier) {
	b := builder{m: m, used: m.Graph.names()}
	least := b.constant(NewFloat32("least", []float32{1e-7}))
	most := b.constant(NewFloat32("most", []float32{1 - 1e-7}))
	one := b.constant(NewFloat32("one", []float32{1}))
	above := b.node(Node{OpType: "Max", Inputs: []string{c.Output, least}}, "above")
	within := b.node(Node{OpType: "Min", Inputs: []string{above, most}}, "within")
	rest := b.node(Node{OpType: "Sub", Inputs: []string{one, within}}, "rest")
	odds := b.node(Node{OpType: "Div", Inputs: []string{within, rest}}, "odds")
	c.Output = b.node(Node{OpType: "Log", Inputs: []string{odds}}, "scores")
	m.Graph.Outputs[0].Name = c.Output
	c.Head = HeadSigmoid
}

// Logarithm makes a classifier whose rows are probabilities, whatever in it makes them so, answer
// with raw scores: the logarithm, of which a softmax is the row again.
func (m *Model) Logarithm(c *Classifier) {
	b := builder{m: m, used: m.Graph.names()}
	least := b.constant(NewFloat32("least", []float32{1e-30}))
	above := b.node(Node{OpType: "Max", Inputs: []string{c.Output, least}}, "above")
	c.Output = b.node(Node{OpType: "Log", Inputs: []string{above}}, "scores")
	m.Graph.Outputs[0].Name = c.Output
	c.Head = HeadSoftmax
}

func ports(all []ValueInfo) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = v.String()
	}
	return strings.Join(words, ", ")
}
