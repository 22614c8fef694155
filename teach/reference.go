package teach

import (
	"context"
	"fmt"
	"slices"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/reference"
)

// storedOf is what the taught bundle keeps of the examples that count, and of its parent's channels;
// nil where they are too many to keep some of each label.
func (t *teaching) storedOf(ctx context.Context, examples []example) (*reference.Stored, error) {
	kept := slices.Clone(examples)
	for i := range kept {
		kept[i].witness = false
	}
	s, err := reference.Store(seen(kept), t.report.Labels)
	if err != nil || s == nil {
		return nil, err
	}
	s.Precision = t.report.Precision
	if before, err := reference.Read(ctx, t.parent); err == nil && before != nil { // else these are not known
		s.Squeeze, s.Gates = before.Squeeze, before.Gates
	}
	return s, nil
}

// Of how many pictures stored features are taken: so many, or so many of each label where that is more.
const (
	mostRecalled  = 2048
	leastRecalled = 5
)

// storedPath stands for the path of a picture of which only the features are left.
const storedPath = "stored features"

// recall appends examples of stored features of the labels that have no pictures, and room for what the
// old head answers to them.
func (t *teaching) recall(n *infer.Network, examples []example, answers []eval.Answer) ([]example, []eval.Answer,
	error) {
	if t.stored == nil || len(t.recalled) == 0 && t.stored.Width() != t.old.Width() {
		return examples, answers, nil
	}
	if own := n.Info().Precision; own != t.stored.Precision && len(t.recalled) > 0 {
		t.report.find("precision", fmt.Sprintf("the stored features are those of %s, this device runs %s",
			t.stored.Precision, own), "where answers to old labels suffer, teach with pictures of every label")
	}
	if t.stored.Width() != t.old.Width() {
		return nil, nil, fmt.Errorf("%s has stored features of %d numbers, its network makes %d", t.Bundle,
			t.stored.Width(), t.old.Width())
	}
	each := max(leastRecalled, mostRecalled/len(t.stored.Labels))
	taken := make([]int, len(t.report.Labels))
	for i, class := range t.stored.Class {
		label := t.stored.Labels[class]
		to := slices.Index(t.report.Labels, label)
		_, without := t.recalled[label]
		if to < 0 || taken[to] == each || !without && !t.testifies(n) {
			continue
		}
		taken[to]++
		p := dataset.Picture{Path: storedPath, Label: to}
		// Rows that follow one another have hashes far from each other, or they would be copies.
		examples = append(examples, example{picture: len(t.pictures), class: to, group: -1, witness: !without,
			hash: uint64(i) * 0x9E3779B97F4A7C15, stored: func() []float32 {
				row := make([]float32, t.stored.Width())
				t.stored.Features(i, row)
				return row
			}})
		t.pictures = append(t.pictures, p)
		answers = append(answers, eval.Answer{Picture: p})
	}
	return examples, answers, nil
}

// testifies tells whether stored features say what is lost of labels that have pictures, too: those of
// the network that runs, whose labels somebody gave.
func (t *teaching) testifies(n *infer.Network) bool {
	return t.stored.Judged == "folders" && t.stored.Precision == n.Info().Precision
}

// recalledAnswers are what the old head says of stored features.
func (l *learner) recalledAnswers(examples []example, before []eval.Answer) {
	for i := range examples {
		if examples[i].stored != nil {
			before[i] = eval.NewAnswer(before[i].Picture, single(l.answer(l.examples[i].views[0])))
		}
	}
}
