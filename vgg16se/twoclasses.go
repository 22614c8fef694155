package vgg16se

import (
	"io"

	"github.com/vggse/vggse-agent/onnx"
)

// TwoClasses makes of a network with one raw score, trained to tell two classes apart by a sigmoid,
// one with two: that of the first is 0, so that the softmax of both is the sigmoid.
func (a Architecture) TwoClasses(weights Weights) (Architecture, Weights) {
	one := a
	a.Classes = 2
	last := a.Layers()[len(a.Layers())-1].Name
	return a, func(p Param) (onnx.Source, error) {
		if p.Name != last+".weight" && p.Name != last+".bias" {
			return weights(p)
		}
		for _, was := range one.Params() {
			if was.Name == p.Name {
				p = was
			}
		}
		source, err := weights(p)
		if err != nil {
			return nil, err
		}
		zeros := make([]byte, 4*p.Elements())
		return func(w io.Writer) error {
			if _, err := w.Write(zeros); err != nil {
				return err
			}
			return source(w)
		}, nil
	}
}
