package teach

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// The stored features of a taught bundle: what stands in for the pictures of old labels when only
// new ones are given.
const (
	referenceKey   = "reference" // in Spec.Files
	referenceName  = "reference.safetensors"
	referenceBytes = 8 << 20 // at most
	mostStored     = 50      // pictures of a label
	leastStored    = 5
)

// stored is what reference.safetensors holds: of picture i the features, one row of width numbers,
// and the label.
type stored struct {
	labels    []string
	class     []int
	features  [][]float32
	precision string // of the network that made them
}

// storedOf takes features of the examples that count, evenly of each label; nil where fewer than
// leastStored of each fit.
func storedOf(examples []example, labels []string, width int, precision string) *stored {
	most := min(mostStored, referenceBytes/(4*max(1, width)*len(labels)))
	if most < leastStored {
		return nil
	}
	s := &stored{labels: labels, precision: precision}
	count := make([]int, len(labels))
	for i := range examples {
		e := &examples[i]
		if e.err != nil || e.copy || count[e.class] == most {
			continue
		}
		count[e.class]++
		s.class, s.features = append(s.class, e.class), append(s.features, e.views[0])
	}
	return s
}

// write puts the features into dir and returns their manifest entry.
func (s *stored) write(ctx context.Context, dir string) (bundle.File, error) {
	var rows, classes []float32
	for i, row := range s.features {
		rows, classes = append(rows, row...), append(classes, float32(s.class[i]))
	}
	labels, err := json.Marshal(s.labels)
	if err != nil {
		return bundle.File{}, err
	}
	n := int64(len(s.features))
	tensors := []checkpoint.Out{
		{Name: "features", Shape: []int64{n, int64(len(s.features[0]))}, Source: checkpoint.Float32s(rows)},
		{Name: "class", Shape: []int64{n}, Source: checkpoint.Float32s(classes)},
	}
	return bundle.WriteFile(ctx, dir, referenceName, io.Discard, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, tensors, map[string]string{"labels": string(labels),
			"precision": s.precision})
	})
}

// readStored reads the stored features of a bundle; nil where it has none.
func readStored(ctx context.Context, b *bundle.Bundle) (*stored, error) {
	if _, ok := b.Spec.Files[referenceKey]; !ok {
		return nil, nil
	}
	if err := b.CheckFile(ctx, referenceKey); err != nil {
		return nil, err
	}
	path, err := b.Path(referenceKey)
	if err != nil {
		return nil, err
	}
	f, err := checkpoint.Open(path, "")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &stored{precision: f.Metadata["precision"]}
	features, class := f.Tensor("features"), f.Tensor("class")
	if features == nil || class == nil || len(features.Shape) != 2 || len(class.Shape) != 1 ||
		features.Shape[0] != class.Shape[0] || features.Shape[1] < 1 || features.Elements() > 2*referenceBytes ||
		json.Unmarshal([]byte(f.Metadata["labels"]), &s.labels) != nil {
		return nil, fmt.Errorf("%s holds no stored features: teach with pictures of every label", path)
	}
	if err := class.Values(func(v []float64) error {
		for _, c := range v {
			if c < 0 || int(c) >= len(s.labels) {
				return fmt.Errorf("%s: there is no label %g", path, c)
			}
			s.class = append(s.class, int(c))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	all, err := features.Float32s()
	if err != nil {
		return nil, err
	}
	for width := int(features.Shape[1]); len(all) > 0; all = all[width:] {
		s.features = append(s.features, all[:width:width])
	}
	return s, nil
}

// storedPath stands for the path of a picture of which only the features are left.
const storedPath = "stored features"

// recall appends examples of stored features of the labels that have no pictures, and what the old
// head answers to them. It returns the pictures that stand for them.
func (t *teaching) recall(n *infer.Network, examples []example, answers []eval.Answer) ([]example, []eval.Answer,
	error) {
	if t.stored == nil {
		return examples, answers, nil
	}
	if own := n.Info().Precision; own != t.stored.precision {
		t.report.find("precision", fmt.Sprintf("the stored features are those of %s, this device runs %s",
			t.stored.precision, own), "where answers to old labels suffer, teach with pictures of every label")
	}
	logits := make(vision.Logits, t.old.Classes())
	for i, row := range t.stored.features {
		to, without := t.recalled[t.stored.labels[t.stored.class[i]]]
		if !without {
			continue
		}
		if len(row) != t.old.Width() {
			return nil, nil, fmt.Errorf("%s has stored features of %d numbers, its network makes %d", t.Bundle,
				len(row), t.old.Width())
		}
		p := dataset.Picture{Path: storedPath, Label: to}
		// Rows that follow one another have hashes far from each other, or they would be copies.
		examples = append(examples, example{picture: len(t.pictures), class: to, group: -1,
			hash: uint64(i) * 0x9E3779B97F4A7C15, views: [][]float32{row}})
		t.pictures = append(t.pictures, p)
		t.old.Apply(row, logits)
		answers = append(answers, eval.NewAnswer(p, logits))
	}
	return examples, answers, nil
}
