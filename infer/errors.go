package infer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// modelError is a fault of the model file or its manifest: no other provider would cure it.
type modelError struct{ sentence string }

func (e *modelError) Error() string { return e.sentence }

func wrong(format string, args ...any) error { return &modelError{fmt.Sprintf(format, args...)} }

// explain turns what ONNX Runtime says of a network that does not load or run into what is wrong
// with the bundle, where that is the cause; else it returns err.
func explain(err error, net *ModelFile, batch int) error {
	text := err.Error()
	if strings.Contains(text, "Protobuf parsing failed") || strings.Contains(text, "ModelProto does not have a graph") {
		return wrong("the file is damaged, or no ONNX model: copy the bundle again")
	}
	inputs, outputs, err2 := ports(net.Path)
	if err2 != nil {
		return oneLine(err)
	}
	side := int64(net.Size)
	if e := compare("input", net.Input, inputs, []int64{int64(batch), 3, side, side}); e != nil {
		return e
	}
	if e := compare("output", net.Output, outputs, []int64{int64(batch), int64(net.columns())}); e != nil {
		return e
	}
	return oneLine(err)
}

// compare says how the ports of the model differ from the one the manifest promises; want[0] is the
// largest batch.
func compare(kind, name string, have []port, want []int64) error {
	if len(have) == 0 || kind == "input" && len(have) > 1 {
		return wrong("the model has %d %ss, one is wanted", len(have), kind)
	}
	var names []string
	for _, p := range have {
		names = append(names, p.name)
		if p.name == name {
			return compareShape(kind, &p, want)
		}
	}
	return wrong("the model has no %s %q, it calls it %q: correct %s.name in model.yaml", kind, name,
		strings.Join(names, `", "`), kind)
}

func compareShape(kind string, p *port, want []int64) error {
	differs := len(p.dims) != len(want)
	for i := 1; !differs && i < len(want); i++ {
		differs = p.dims[i] != want[i] && p.dims[i] >= 0
	}
	switch {
	case !p.f32:
		return wrong("the model's %s %q is not float32", kind, p.name)
	case differs && kind == "output" && len(p.dims) == 2:
		return wrong("the model answers with %d classes, the manifest has %d labels: one of the two belongs to "+
			"another network", p.dims[1], want[1])
	case differs:
		return wrong("the model's %s %q is %s, the manifest makes it %s", kind, p.name, shape(p.dims),
			shape(append([]int64{-1}, want[1:]...)))
	case p.dims[0] >= 0 && p.dims[0] != want[0]:
		return wrong("the model takes batches of %d only: set infer.max_batch to %[1]d", p.dims[0])
	}
	return nil
}

// shape prints dimensions as people write them: N×3×224×224.
func shape(dims []int64) string {
	words := make([]string, len(dims))
	for i, d := range dims {
		words[i] = fmt.Sprint(d)
		if d < 0 {
			words[i] = "N"
		}
	}
	return strings.Join(words, "×")
}

// origin is what ONNX Runtime puts before its messages: a source file and line, a function, a code.
var origin = regexp.MustCompile(`^.*?\[ONNXRuntimeError\] : \d+ : \w+ : `)

// oneLine leaves the first line of an error of ONNX Runtime, without where in its sources it arose.
func oneLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(strings.TrimSuffix(origin.ReplaceAllString(line, ""), "."))
}
