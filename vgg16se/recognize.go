package vgg16se

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// MismatchError says why a checkpoint is not one of the networks that this package builds.
type MismatchError struct {
	Nearest Architecture
	Norm    bool     // Nearest has batch normalization
	Missing []string // keys that the nearest architecture has
	Extra   []string // keys that it does not have
	Shapes  []string // "key: shape, want shape"
}

// Error lists everything, at most twenty keys of a kind.
func (e *MismatchError) Error() string {
	norm := ""
	if e.Norm {
		norm = " with batch normalization"
	}
	text := fmt.Sprintf("vgg16se: not a checkpoint of this family; the nearest is %v%s", e.Nearest, norm)
	for _, l := range []struct {
		what string
		keys []string
	}{{"it lacks", e.Missing}, {"it has besides", e.Extra}, {"other shapes", e.Shapes}} {
		if n := len(l.keys); n > 20 {
			text += fmt.Sprintf("\n  %s: %s and %d more", l.what, strings.Join(l.keys[:20], ", "), n-20)
		} else if n > 0 {
			text += fmt.Sprintf("\n  %s: %s", l.what, strings.Join(l.keys, ", "))
		}
	}
	return text + "\nA network of another family comes in as .onnx (torch.onnx.export)"
}

// Recognize infers the architecture from the names and shapes of a checkpoint: the article's
// VGG16-SE, its relatives with another Attention, plain VGG16, and all of them with batch
// normalization, which Weights folds into the convolutions. The size of the input, which no weight
// tells, comes from the caller (0 means 224). Anything else is a *MismatchError.
func Recognize(tensors []checkpoint.Tensor, inputSize int) (Architecture, Weights, error) {
	names := plainNames(tensors)
	l := nearest(names)
	a := infer(names, l)
	a.InputSize = inputSize
	e := &MismatchError{Nearest: a, Norm: l.norm}
	required, optional := l.names()
	for _, name := range required {
		if names[name] == nil {
			e.Missing = append(e.Missing, name)
		}
	}
	for name := range names {
		if !slices.Contains(required, name) && !slices.Contains(optional, name) {
			e.Extra = append(e.Extra, name)
		}
	}
	slices.Sort(e.Extra)
	parts := map[string]part{}
	for _, m := range l.modules(a) {
		for _, p := range m.Params {
			e.compare(names, m.source(p), p.Shape)
			parts[p.Name] = part{tensor: names[m.source(p)], norm: normOf(names, m.norm(p))}
		}
		for of, norm := range m.norms {
			for _, suffix := range normParts {
				e.compare(names, norm+suffix, m.rows(of))
			}
		}
	}
	if len(e.Missing)+len(e.Extra)+len(e.Shapes) > 0 {
		return a, nil, e
	}
	if err := a.Validate(); err != nil {
		return a, nil, err
	}
	return a, func(p Param) (onnx.Source, error) { return parts[p.Name].source(p) }, nil
}

// rows is the shape of a vector over the outputs of a part of the module.
func (m module) rows(of string) []int {
	i := slices.IndexFunc(m.Params, func(p Param) bool { return m.source(p) == of+".weight" })
	return m.Params[i].Shape[:1]
}

// compare notes a tensor that is there with another shape; 1×1 kernels count as matrices.
func (e *MismatchError) compare(names map[string]*checkpoint.Tensor, name string, want []int) {
	t := names[name]
	if t == nil {
		return
	}
	if t.Type != onnx.Float32 && t.Type != onnx.Float16 && t.Type != onnx.BFloat16 && t.Type != onnx.Float64 {
		e.Shapes = append(e.Shapes, fmt.Sprintf("%s holds %v, not floating-point numbers", name, t.Type))
	}
	shape := t.Shape
	if len(want) == 2 && len(shape) == 4 && shape[2] == 1 && shape[3] == 1 {
		shape = shape[:2]
	}
	if !slices.EqualFunc(shape, want, func(a int64, b int) bool { return a == int64(b) }) {
		e.Shapes = append(e.Shapes, fmt.Sprintf("%s is %v, should be %v", name, t.Shape, want))
	}
}
