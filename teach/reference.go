package teach

import (
	"context"
	"fmt"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/reference"
	"github.com/vggse/vggse-agent/vision"
)

// storedOf is what the taught bundle keeps of the examples that count, and of its parent's channels;
// nil where they are too many to keep some of each label.
func (t *teaching) storedOf(ctx context.Context, examples []example) (*reference.Stored, error) {
	var pictures []reference.Picture
	for i := range examples {
		if e := &examples[i]; e.err == nil && !e.copy {
			pictures = append(pictures, reference.Picture{Class: e.class, Features: e.views[0]})
		}
	}
	s, err := reference.Store(pictures, t.report.Labels)
	if err != nil || s == nil {
		return nil, err
	}
	s.Precision = t.report.Precision
	if before, err := reference.Read(ctx, t.parent); err == nil && before != nil { // else these are not known
		s.Squeeze, s.Gates = before.Squeeze, before.Gates
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
	if own := n.Info().Precision; own != t.stored.Precision {
		t.report.find("precision", fmt.Sprintf("the stored features are those of %s, this device runs %s",
			t.stored.Precision, own), "where answers to old labels suffer, teach with pictures of every label")
	}
	logits := make(vision.Logits, t.old.Classes())
	if t.stored.Width() != t.old.Width() {
		return nil, nil, fmt.Errorf("%s has stored features of %d numbers, its network makes %d", t.Bundle,
			t.stored.Width(), t.old.Width())
	}
	for i, class := range t.stored.Class {
		to, without := t.recalled[t.stored.Labels[class]]
		if !without {
			continue
		}
		row := make([]float32, t.stored.Width())
		t.stored.Features(i, row)
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
