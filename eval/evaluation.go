package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vision"
)

// EvaluationSchema names the layout of an Evaluation as JSON.
const EvaluationSchema = "vggse.evaluation/1"

// Evaluation is how a network answers to labelled pictures.
type Evaluation struct {
	Schema      string            `json:"schema"`
	Tool        string            `json:"tool"`
	Bundle      string            `json:"bundle"` // name and version
	SHA256      string            `json:"sha256"` // of the model file that ran
	Precision   string            `json:"precision"`
	Provider    string            `json:"provider"`
	Images      int               `json:"images"`
	Unreadable  int               `json:"unreadable"` // left out
	Labelled    int               `json:"labelled"`   // in folders that are named like labels
	NaN         int               `json:"nan"`        // answers that are no numbers; they count as wrong
	Top1        *Share            `json:"top1,omitempty"`
	Top5        *Share            `json:"top5,omitempty"`
	Classes     []ClassResult     `json:"classes"`
	Confusions  []Move            `json:"confusions"` // wrong answers, most first
	Calibration *Calibration      `json:"calibration,omitempty"`
	Worst       []Mistake         `json:"worst"` // surest wrong answers
	Against     *Comparison       `json:"against,omitempty"`
	Findings    []dataset.Finding `json:"findings"`
}

// ClassResult is one class: of its pictures how many were found, of the answers that name it how
// many are right.
type ClassResult struct {
	Label     string `json:"label"`
	Recall    Share  `json:"recall"`
	Precision Share  `json:"precision"`
}

// Calibration says whether scores mean what they say: of the answers with a score of 0.8, 0.8
// should be right. ECE is the expected calibration error (Guo et al. 2017, arXiv 1706.04599), over
// 15 bins of equal width; NLL the mean of −log of the right class's score.
type Calibration struct {
	ECE  float64          `json:"ece"`
	NLL  float64          `json:"nll"`
	Bins []CalibrationBin `json:"bins"` // those with pictures
}

// CalibrationBin is the answers whose best score is above From, up to To.
type CalibrationBin struct {
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	Images int     `json:"images"`
	Score  float64 `json:"score"` // mean
	Right  float64 `json:"right"` // share
}

// Mistake is a wrong answer.
type Mistake struct {
	File   string  `json:"file"`
	Label  string  `json:"label"`
	Answer string  `json:"answer"`
	Score  float64 `json:"score"`       // of the answer
	Own    float64 `json:"label_score"` // of the right class
}

// Comparison holds a network against another one on the same pictures. P is that of McNemar's exact
// test: how often chance alone would share out the pictures that only one is right on so unevenly.
type Comparison struct {
	Bundle    string  `json:"bundle"`
	SHA256    string  `json:"sha256"`
	Precision string  `json:"precision"`
	Provider  string  `json:"provider"`
	Agreement Share   `json:"agreement"` // of all pictures: the same answer, by name
	Top1      *Share  `json:"top1,omitempty"`
	OnlyThis  int     `json:"only_this_right"`
	OnlyOther int     `json:"only_other_right"`
	P         float64 `json:"p"`
	Verdict   string  `json:"verdict"` // in one sentence
}

// Answer is what a network says of one picture.
type Answer struct {
	Picture dataset.Picture
	Top     int     // best class; -1: no number
	Score   float64 // its softmax
	Own     float64 // that of the picture's label; 0 where there is none
	Top5    bool    // the label is among the best five
	Err     error   // the picture cannot be read: nothing else holds then
}

const (
	calibrationBins = 15
	mostMistakes    = 24
	significant     = 0.05
)

// Answers runs the network over pictures, which are read and prepared by the given number of
// workers.
func Answers(ctx context.Context, n *infer.Network, pictures []dataset.Picture, workers int,
	bar *progress.Bar) ([]Answer, error) {
	spec := &n.Bundle.Spec
	size := spec.Architecture.InputSize
	set := dataset.New(pictures, spec.Preprocess, size, 0)
	all := make([]Answer, len(pictures))
	return all, Parallel(ctx, max(1, workers), func(ctx context.Context) error {
		x := vision.NewTensor(1, 3, size, size)
		logits, scores := make(vision.Logits, len(spec.Labels)), make([]float32, len(spec.Labels))
		for {
			i, label, err := set.Next(ctx, x)
			if errors.Is(err, io.EOF) {
				return nil
			}
			bar.One()
			if err != nil && ctx.Err() == nil { // a damaged one does not end the others
				all[i] = Answer{Picture: pictures[i], Top: -1, Err: err}
				continue
			}
			if err == nil {
				err = n.Run(ctx, x, logits)
			}
			if err != nil {
				return err
			}
			all[i] = newAnswer(pictures[i], label, logits, scores, spec.Output.Scores)
		}
	})
}

// NewAnswer is what logits, one for each label, say by their softmax of a picture whose label is
// Picture.Label.
func NewAnswer(p dataset.Picture, logits vision.Logits) Answer {
	return newAnswer(p, p.Label, logits, make([]float32, len(logits)), "")
}

func newAnswer(p dataset.Picture, label int, logits vision.Logits, scores []float32, kind vision.Scores) Answer {
	a := Answer{Picture: p, Top: -1}
	if !kind.Apply(scores, logits) {
		return a
	}
	top := answerOf(scores, label)
	a.Top, a.Top5, a.Score = top.top, top.top5, float64(scores[top.top])
	if label >= 0 {
		a.Own = float64(scores[label])
	}
	return a
}

// NewEvaluation sums up what a network with the given labels answers. The order of the answers
// leaves no trace but among equally sure mistakes.
func NewEvaluation(labels []string, answers []Answer) *Evaluation {
	e := &Evaluation{Schema: EvaluationSchema, Images: len(answers), Classes: []ClassResult{}, Confusions: []Move{},
		Worst: []Mistake{}, Findings: []dataset.Finding{}}
	n := len(labels)
	pictures, found, answered := make([]int, n), make([]int, n), make([]int, n)
	moves, right, right5 := map[[2]int]int{}, 0, 0
	var guesses []dataset.Summary
	for i := range answers {
		a := &answers[i]
		if a.Err != nil {
			e.unreadable(a)
			continue
		}
		e.NaN += is(a.Top < 0)
		label := a.Picture.Label
		if label < 0 {
			continue
		}
		e.Labelled++
		guesses = append(guesses, dataset.Summary{Class: label, Guess: a.Top})
		pictures[label]++
		right5 += is(a.Top5)
		if a.Top >= 0 {
			answered[a.Top]++
		}
		if a.Top == label {
			right++
			found[label]++
		} else {
			moves[[2]int{label, a.Top}]++
		}
	}
	if e.Labelled == 0 {
		return e
	}
	e.Findings = append(e.Findings, dataset.LabelOrder(guesses, labels)...)
	e.Top1, e.Top5 = ref(NewShare(right, e.Labelled)), ref(NewShare(right5, e.Labelled))
	for c, label := range labels {
		if pictures[c]+answered[c] > 0 {
			e.Classes = append(e.Classes, ClassResult{label, NewShare(found[c], pictures[c]),
				NewShare(found[c], answered[c])})
		}
	}
	e.Confusions = append(e.Confusions, mostMoved(moves)...)
	for i := range e.Confusions {
		m := &e.Confusions[i]
		m.Labels = labels[m.From] + " → " + nameOf(labels, m.To)
	}
	e.Calibration, e.Worst = calibrationOf(answers), mistakes(labels, answers)
	return e
}

// unreadable leaves a picture out; the first is named.
func (e *Evaluation) unreadable(a *Answer) {
	e.Images--
	if e.Unreadable++; e.Unreadable == 1 {
		e.Findings = append(e.Findings, dataset.Finding{Check: "unreadable", Severity: "warn"})
	}
	f := &e.Findings[0]
	if e.Unreadable == 1 {
		f.Evidence = a.Err.Error()
	}
	f.Cure = fmt.Sprintf("left out: %d; copy such pictures again, or remove them", e.Unreadable)
}

func nameOf(labels []string, class int) string {
	if class < 0 {
		return "no number"
	}
	return labels[class]
}

func calibrationOf(answers []Answer) *Calibration {
	var bins [calibrationBins]CalibrationBin
	c, n := &Calibration{Bins: []CalibrationBin{}}, 0
	for i := range answers {
		a := &answers[i]
		if a.Picture.Label < 0 || a.Top < 0 {
			continue
		}
		b := &bins[min(calibrationBins-1, max(0, int(math.Ceil(a.Score*calibrationBins))-1))]
		b.Images++
		b.Score += a.Score
		b.Right += float64(is(a.Top == a.Picture.Label))
		c.NLL -= math.Log(max(a.Own, 1e-12))
		n++
	}
	for i, b := range bins {
		if b.Images == 0 {
			continue
		}
		c.ECE += math.Abs(b.Right-b.Score) / float64(n)
		b.From, b.To = float64(i)/calibrationBins, float64(i+1)/calibrationBins
		b.Score, b.Right = b.Score/float64(b.Images), b.Right/float64(b.Images)
		c.Bins = append(c.Bins, b)
	}
	c.NLL /= max(1, float64(n))
	return c
}

// mistakes are the surest wrong answers.
func mistakes(labels []string, answers []Answer) []Mistake {
	all := []Mistake{}
	for i := range answers {
		a := &answers[i]
		if label := a.Picture.Label; label >= 0 && a.Top != label && a.Err == nil {
			all = append(all, Mistake{a.Picture.Path, labels[label], nameOf(labels, a.Top), a.Score, a.Own})
		}
	}
	slices.SortFunc(all, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.File, b.File))
	})
	return all[:min(len(all), mostMistakes)]
}

// Compare holds the answers of one network against those of another to the same pictures. Classes
// are compared by their names, so the two may have them in another order, or other ones.
func Compare(labels []string, answers []Answer, otherLabels []string, others []Answer) *Comparison {
	c := &Comparison{}
	same, labelled, otherRight, compared := 0, 0, 0, 0
	for i := range answers {
		if answers[i].Err != nil || others[i].Err != nil {
			continue
		}
		compared++
		own, other := nameOf(labels, answers[i].Top), nameOf(otherLabels, others[i].Top)
		same += is(own == other && answers[i].Top >= 0)
		if answers[i].Picture.Label < 0 {
			continue
		}
		label := labels[answers[i].Picture.Label]
		labelled++
		otherRight += is(other == label)
		c.OnlyThis += is(own == label && other != label)
		c.OnlyOther += is(own != label && other == label)
	}
	c.Agreement = NewShare(same, compared)
	if labelled > 0 {
		c.Top1 = ref(NewShare(otherRight, labelled))
	}
	c.P = mcnemar(c.OnlyThis, c.OnlyOther)
	c.Verdict = verdictOf(c, labelled)
	return c
}

func verdictOf(c *Comparison, labelled int) string {
	if labelled == 0 {
		return fmt.Sprintf("no picture is labelled: the two give the same answer to %.2f %%", 100*c.Agreement.Value)
	}
	points := 100 * float64(c.OnlyThis-c.OnlyOther) / float64(labelled)
	switch {
	case c.P >= significant:
		return fmt.Sprintf("cannot tell: %+.2f points on %s, which chance gives in %.0f of 100 cases; "+
			"more pictures would tell",
			points, round.Pictures(labelled), 100*c.P)
	case points > 0:
		return fmt.Sprintf("better: %+.2f points on %s (p = %.2g)", points, round.Pictures(labelled), c.P)
	}
	return fmt.Sprintf("worse: %+.2f points on %s (p = %.2g)", points, round.Pictures(labelled), c.P)
}

// mcnemar is the two-sided exact test (McNemar 1947, with the binomial distribution): a and b are
// the pictures that only one of the two is right on.
func mcnemar(a, b int) float64 {
	n, p := a+b, 0.0
	for k := 0; k <= min(a, b); k++ {
		p += math.Exp(logChoose(n, k) - float64(n)*math.Ln2)
	}
	return min(1, 2*p)
}
