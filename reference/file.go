package reference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// Write puts what is kept into the folder dir and returns its manifest entry.
func (s *Stored) Write(ctx context.Context, dir string) (bundle.File, error) {
	labels, err := json.Marshal(s.Labels)
	if err != nil {
		return bundle.File{}, err
	}
	dims, width, class := int64(s.Dims()), int64(s.Width()), make([]float32, len(s.Class))
	for i, c := range s.Class {
		class[i] = float32(c)
	}
	floats := func(name string, v []float32, shape ...int64) checkpoint.Out {
		return checkpoint.Out{Name: name, Shape: shape, Source: checkpoint.Float32s(v)}
	}
	halves := func(name string, v []float32, shape ...int64) checkpoint.Out {
		return checkpoint.Out{Name: name, Shape: shape, Source: checkpoint.Halves(v), Half: true}
	}
	tensors := []checkpoint.Out{floats("mean", s.Mean, width),
		halves("coordinates", s.Coordinates, int64(len(class)), dims), floats("class", class, int64(len(class))),
		floats("means", s.Means, int64(len(s.Labels)), dims), floats("covariance", s.Covariance, dims, dims)}
	if len(s.Axes) > 0 {
		tensors = append(tensors, halves("axes", s.Axes, dims, width))
	}
	for b := range s.Gates {
		rows := int64(len(Quantiles))
		channels := int64(len(s.Gates[b])) / rows
		tensors = append(tensors, floats(onnx.SqueezeOutput(b+1), s.Squeeze[b], rows, channels),
			floats(onnx.GateOutput(b+1), s.Gates[b], rows, channels))
	}
	return bundle.WriteFile(ctx, dir, bundle.ReferenceName, io.Discard, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, tensors, map[string]string{"labels": string(labels),
			"precision": s.Precision, "judged": s.Judged, "pictures": strconv.Itoa(s.Pictures)})
	})
}

// Read reads what a bundle keeps of its pictures, and hashes the file; nil where it has nothing of
// the kind. A file that is not what it should be is refused before it takes more memory than the
// largest that Write makes.
func Read(ctx context.Context, b *bundle.Bundle) (*Stored, error) {
	if _, ok := b.Spec.Files[bundle.FileReference]; !ok {
		return nil, nil
	}
	if err := b.CheckFile(ctx, bundle.FileReference); err != nil {
		return nil, err
	}
	path, err := b.Path(bundle.FileReference)
	if err != nil {
		return nil, err
	}
	f, err := checkpoint.Open(path, "")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: calibrate the bundle, or teach it with pictures of every label", path, err)
	}
	return s, nil
}

// mostLabels is the largest number of labels of a reference.
const mostLabels = 1 << 16

func read(f *checkpoint.File) (*Stored, error) {
	s := &Stored{Precision: f.Metadata["precision"], Judged: f.Metadata["judged"]}
	if err := json.Unmarshal([]byte(f.Metadata["labels"]), &s.Labels); err != nil || len(s.Labels) == 0 ||
		len(s.Labels) > mostLabels {
		return nil, errors.New("it does not say which labels its pictures have")
	}
	s.Pictures, _ = strconv.Atoi(f.Metadata["pictures"]) // 0: it does not say
	r := reader{file: f}
	s.Mean = r.take("mean", vision.MaxFeatures, -1)
	kept := r.rows("class", StoredBytes)
	dims := r.columns("coordinates")
	if r.err == nil && (dims < 1 || dims > storedDims || kept < 1 || kept*dims > StoredBytes) {
		r.err = fmt.Errorf("it keeps %d pictures of %d coordinates", kept, dims)
	}
	width := int64(len(s.Mean))
	s.Coordinates = r.take("coordinates", StoredBytes, kept, dims)
	class := r.take("class", StoredBytes, kept)
	s.Means = r.take("means", mostLabels*storedDims, int64(len(s.Labels)), dims)
	s.Covariance = r.take("covariance", storedDims*storedDims, dims, dims)
	if width != dims {
		s.Axes = r.take("axes", vision.MaxFeatures*storedDims, dims, width)
	}
	if r.err != nil {
		return nil, r.err
	}
	for _, c := range class {
		if c < 0 || int(c) >= len(s.Labels) || float32(int(c)) != c {
			return nil, fmt.Errorf("there is no label %g", c)
		}
		s.Class = append(s.Class, int(c))
	}
	for b := 1; b <= onnx.MostBlocks && f.Tensor(onnx.GateOutput(b)) != nil; b++ {
		rows := int64(len(Quantiles))
		s.Squeeze = append(s.Squeeze, r.take(onnx.SqueezeOutput(b), rows*onnx.MaxChannels, rows, -1))
		s.Gates = append(s.Gates, r.take(onnx.GateOutput(b), rows*onnx.MaxChannels, rows, -1))
		if len(s.Gates[b-1]) != len(s.Squeeze[b-1]) {
			return nil, fmt.Errorf("block %d has other channels in squeeze than in gates", b)
		}
	}
	return s, r.err
}

// reader reads tensors of a file until the first that is not what it should be.
type reader struct {
	file *checkpoint.File
	err  error
}

// take reads a tensor of a shape, -1 for any length, of at most so many numbers.
func (r *reader) take(name string, most int64, shape ...int64) []float32 {
	if r.err != nil {
		return nil
	}
	t := r.file.Tensor(name)
	ok := t != nil && len(t.Shape) == len(shape) && t.Elements() >= 1 && t.Elements() <= most
	for i := 0; ok && i < len(shape); i++ {
		ok = shape[i] < 0 || t.Shape[i] == shape[i]
	}
	if !ok {
		r.err = fmt.Errorf("%s is missing, or has a shape that it cannot have", name)
		return nil
	}
	v, err := t.Float32s()
	if err != nil {
		r.err = fmt.Errorf("%s: %w", name, err)
		return nil
	}
	for _, x := range v {
		if x-x != 0 {
			r.err = fmt.Errorf("%s holds what is no number", name)
			return nil
		}
	}
	return v
}

// rows is the length of a tensor of one dimension; columns the last of one of two.
func (r *reader) rows(name string, most int64) int64 {
	if t := r.file.Tensor(name); t != nil && len(t.Shape) == 1 && t.Shape[0] <= most {
		return t.Shape[0]
	}
	return 0
}

func (r *reader) columns(name string) int64 {
	if t := r.file.Tensor(name); t != nil && len(t.Shape) == 2 {
		return t.Shape[1]
	}
	return 0
}
