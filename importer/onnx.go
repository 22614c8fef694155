package importer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// fromONNX takes an image classifier of any kind and rewrites it to the form of a bundle; the file
// stays open until the bundle is written.
func fromONNX(labels []string, o *Options) (*imported, error) {
	n := &imported{foreign: true}
	if err := n.adopt(labels, o, false); err != nil {
		if !strings.Contains(err.Error(), o.File+": ") { // of opening it
			err = fmt.Errorf("%s: %w", o.File, err)
		}
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// mostBatch is the largest batch that a file may be exported for: it is fed once to prove the import.
const mostBatch = 256

// adopt opens the file and rewrites its graph.
func (n *imported) adopt(labels []string, o *Options, repeat bool) error {
	m, err := o.opened, error(nil)
	if o.opened = nil; m == nil { // a second time
		m, err = onnx.Open(o.File)
	}
	if err != nil {
		return err
	}
	n.files = append(n.files, m)
	wanted := onnx.Wanted{Classes: len(labels), Output: o.Output, Repeat: repeat}
	wanted.Height, wanted.Width = o.height(), o.Input // 0 where neither --input nor anything beside says so
	if wanted.Opaque, err = opaque(o.Preprocess); err != nil {
		return &OptionError{"preprocess", err}
	}
	params := parameters(m)
	producer := strings.TrimSpace(m.Producer + " " + m.ProducerVersion)
	loose := looseness(m)
	c, err := m.AsClassifier(wanted)
	if err != nil {
		return err
	}
	size := fmt.Sprintf("%d×%d", c.Picture.Height, c.Picture.Width)
	switch {
	case o.InputGiven && (c.Picture.Width != o.Input || c.Picture.Height != o.height()):
		return fmt.Errorf("the network takes %s, --input says %d×%d", size, o.height(), o.Input)
	case c.Batch > mostBatch:
		return fmt.Errorf("the network takes %d pictures at a time, at most %d are possible: export it with batch 1 "+
			"or a dynamic batch", c.Batch, mostBatch)
	case c.Size > vision.MaxSize:
		return fmt.Errorf("the network takes %s, at most %d×%[2]d are possible", size, vision.MaxSize)
	}
	n.graph, n.classifier, n.loose, n.parameters = m, c, loose, params
	n.what = fmt.Sprintf("ONNX opset %d from %s, %d nodes, %s, %d classes", m.Opset(""), producer,
		len(m.Graph.Nodes), size, len(labels))
	n.spec = bundle.Spec{
		Schema:       bundle.SpecSchema,
		Architecture: bundle.Architecture{Family: bundle.FamilyONNX, InputSize: c.Size, Classes: len(labels)},
		Input:        bundle.Port{Name: c.Input},
		Output:       bundle.Port{Name: c.Output},
		Labels:       labels,
	}
	if c.Head == onnx.HeadSigmoid || c.Head == onnx.HeadRaw && o.multi {
		n.spec.Output.Scores = vision.ScoresSigmoid
	}
	return nil
}

// taken says in one line what the network was taken for.
func taken(c *onnx.Classifier, labels int) string {
	how := map[int]string{1: "grey ", 4: "RGBA "}[c.Picture.Channels]
	batch := "any number at a time"
	if c.Batch > 0 {
		batch = fmt.Sprintf("exported for %d at a time", c.Batch)
	}
	answers := fmt.Sprintf("one of %d labels by raw scores", labels)
	switch c.Head {
	case onnx.HeadSoftmax:
		answers = fmt.Sprintf("one of %d labels by a softmax, which was taken off", labels)
	case onnx.HeadSigmoid:
		answers = fmt.Sprintf("each of %d labels for itself by a sigmoid, which was taken off", labels)
	case onnx.HeadOne:
		answers = "one score, high for the second of the two labels"
	}
	return fmt.Sprintf("taken for: %spictures %v, %s; %s", how, &c.Picture, batch, answers)
}

// looseIntegers is that of a file with integers in it.
const looseIntegers = 0.02

// looseness is how far a rewritten file may answer off the file that it was made of, in parts of
// its largest answer: one part in ten thousand for float32, and what rounding does where numbers in
// between have fewer bits.
func looseness(m *onnx.Model) float64 {
	loose := 1e-4
	for i := range m.Graph.Nodes {
		switch op := m.Graph.Nodes[i].OpType; {
		case strings.Contains(op, "QLinear") || op == "QuantizeLinear" || op == "DynamicQuantizeLinear":
			return looseIntegers
		case op == "Cast":
			if to := m.Graph.Nodes[i].Attribute("to"); to != nil &&
				(to.Int == int64(onnx.Float16) || to.Int == int64(onnx.BFloat16)) {
				loose = 5e-3
			}
		}
	}
	for i := range m.Graph.Initializers {
		if t := m.Graph.Initializers[i].Type; t == onnx.Float16 || t == onnx.BFloat16 {
			loose = 5e-3
		}
	}
	return loose
}

// IsONNX goes by the name: an ONNX file has no mark of its own.
func IsONNX(path string) bool { return strings.EqualFold(filepath.Ext(path), ".onnx") }

// parameters counts the weights, among the initializers and in Constant nodes.
func parameters(m *onnx.Model) int64 {
	sum := int64(0)
	add := func(t *onnx.Tensor) {
		switch t.Type {
		case onnx.Float32, onnx.Float16, onnx.BFloat16, onnx.Float64, onnx.Int8:
			sum += t.Elements()
		}
	}
	for i := range m.Graph.Initializers {
		add(&m.Graph.Initializers[i])
	}
	for i := range m.Graph.Nodes {
		if a := m.Graph.Nodes[i].Attribute("value"); a != nil && a.Tensor != nil &&
			m.Graph.Nodes[i].OpType == "Constant" {
			add(a.Tensor)
		}
	}
	return sum
}

var (
	irVersion  = regexp.MustCompile(`model IR version: (\d+), max supported IR version: (\d+)`)
	noOperator = regexp.MustCompile(`(?:Fatal error: |No Op registered for |node_op_type: )(\S+?)(?:\(-?\d+\))? ` +
		`(?:is not a registered|with domain)`)
	noType     = regexp.MustCompile(`Type '(?:tensor\()?(\w+)\)?' of input parameter \(\S*\) of operator \((\w+)\)`)
	newOpset   = regexp.MustCompile(`Opset (\d+) is under development`)
	noKernel   = regexp.MustCompile(`Could not find an implementation for (\w+)`)
	otherDims  = regexp.MustCompile(`Got invalid dimensions for input: (\S+)`)
	fixedBatch = regexp.MustCompile(`takes batches of (\d+) only`)
	otherRank  = regexp.MustCompile(`Invalid rank for output: (\S+) Got: (\d+) Expected: (\d+)`)
	advice     = regexp.MustCompile(`\s*\(cure: [^)]*\)`)
	places     = regexp.MustCompile(`(?s)^.*(?:Load model from \S+ failed: ?|(?:/\S+)+:\d+ \S.*?\) )`)
)

// oldestOpset is the operator set from which on ONNX Runtime has all operators
// (docs/Versioning.md of it).
const oldestOpset = 7

// cannotRun says why ONNX Runtime does not run a network of an operator set, in words about the file.
func cannotRun(err error, opset int64) error {
	if errors.Is(err, ErrCrashed) || errors.Is(err, infer.ErrNoLibrary) || errors.Is(err, context.Canceled) {
		return err
	}
	text := err.Error()
	if m := irVersion.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("the file has version IR %s, this ONNX Runtime reads up to IR %s: save it with an older "+
			"one, or install a newer runtime", m[1], m[2])
	}
	if m := noOperator.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("this ONNX Runtime has no operator %s: export the network without it", m[1])
	}
	if m := noType.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("ONNX Runtime has no %s of %s: export the network in float32", m[2], m[1])
	}
	if m := newOpset.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("the file is of operator set %s, which this ONNX Runtime does not know yet: export it with "+
			"an older one (opset_version), or install a newer runtime", m[1])
	}
	if m := noKernel.FindStringSubmatch(text); m != nil {
		if opset < oldestOpset {
			return fmt.Errorf("ONNX Runtime has no %s of operator set %d, it has all operators from %d on: raise the "+
				"file with onnx.version_converter, or export it anew", m[1], opset, oldestOpset)
		}
		return fmt.Errorf("ONNX Runtime has no %s for the type of numbers that the file computes in: export the "+
			"network in float32", m[1])
	}
	if m := otherDims.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("the file says of its input %s that it takes no picture, or other ones than its graph: "+
			"export it with batch 1 or a dynamic batch", m[1])
	}
	if m := fixedBatch.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("the network takes batches of %s only, the number stands inside the graph: export it with "+
			"batch 1 or a dynamic batch", m[1])
	}
	if m := otherRank.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("its output %s has %s dimensions, the file says %s: more are an answer for every place "+
			"(text, a map), which classifies no picture; fewer are a fault of the export", m[1], m[2], m[3])
	}
	text = places.ReplaceAllString(advice.ReplaceAllString(text, ""), "")
	return fmt.Errorf("ONNX Runtime cannot run the network: %s", strings.TrimSpace(text))
}
