package importer

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// ownTerms reads pairs whose pictures have the layout of the file as it came (channels last, grey,
// height and width that differ, one score) and puts them into that of the bundle; nil: they have it
// already, or neither.
func (n *imported) ownTerms(path string) (*verify.Goldens, error) {
	file, err := checkpoint.Open(path, "")
	if err != nil { // whoever reads it in the bundle's terms says what is wrong
		return nil, nil
	}
	defer file.Close()
	c := n.classifier
	input, logits := file.Tensor("input"), file.Tensor("logits")
	if input == nil || logits == nil || len(input.Shape) == 0 || input.Shape[0] < 1 {
		return nil, nil
	}
	pairs, size := input.Shape[0], int64(c.Size)
	shape := append([]int64{pairs}, n.pictureDims()...)
	scores := len(n.spec.Labels)
	if c.Head == onnx.HeadOne {
		scores = 1
	}
	same := slices.Equal(shape, []int64{pairs, 3, size, size}) && c.Head != onnx.HeadOne
	if same || !slices.Equal(input.Shape, shape) || logits.Elements() != pairs*int64(scores) {
		return nil, nil
	}
	given, answers, err := numbersOf(input, logits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	g := &verify.Goldens{Input: vision.NewTensor(int(pairs), 3, c.Size, c.Size), Origin: filepath.Base(path)}
	each := len(given) / int(pairs)
	for i := range int(pairs) {
		unfeed(g.Input.Data[i*3*c.Size*c.Size:][:3*c.Size*c.Size], given[i*each:][:each], c)
		row := answers[i*scores:][:scores]
		if c.Head == onnx.HeadOne {
			row = []float32{0, row[0]}
		}
		g.Logits = append(g.Logits, row...)
	}
	return g, nil
}

// pictureDims are the dimensions of one picture of the file.
func (n *imported) pictureDims() []int64 {
	shape := n.classifier.Picture.Shape()
	return shape[len(shape)-3:]
}

// unfeed is the reverse of fed, for one picture: grey fills all three channels, what lies outside of
// the window stays 0.
func unfeed(to, from []float32, c *onnx.Classifier) {
	p := &c.Picture
	for ch := range 3 {
		at := min(ch, p.Channels-1)
		for y := range p.Height {
			for x := range p.Width {
				i := (at*p.Height+y)*p.Width + x
				if p.ChannelsLast {
					i = (y*p.Width+x)*p.Channels + at
				}
				to[(ch*c.Size+y)*c.Size+x] = from[i]
			}
		}
	}
}

func numbersOf(input, logits *checkpoint.Tensor) (a, b []float32, err error) {
	for _, t := range []struct {
		from *checkpoint.Tensor
		to   *[]float32
	}{{input, &a}, {logits, &b}} {
		err := t.from.Values(func(v []float64) error {
			for _, x := range v {
				*t.to = append(*t.to, float32(x))
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return a, b, nil
}
