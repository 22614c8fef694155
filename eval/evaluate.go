package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vision"
)

// Share is a proportion with its 95 % confidence interval (Wilson, 1927), which holds near 0 and 1,
// too.
type Share struct {
	Hits  int     `json:"hits"`
	Of    int     `json:"of"`
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// NewShare is hits out of n.
func NewShare(hits, n int) Share {
	if n == 0 {
		return Share{High: 1}
	}
	const z = 1.959963984540054
	p, m := float64(hits)/float64(n), float64(n)
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return Share{hits, n, p, max(0, centre-half), min(1, centre+half)}
}

// Verdict is how the answers of a file differ from those of the FP32 file on pictures that no
// choice has seen.
type Verdict struct {
	Images    int     `json:"images"`
	Agreement Share   `json:"agreement"`      // same best class
	Top1      *Share  `json:"top1,omitempty"` // of the file, where labels are known
	Top5      *Share  `json:"top5,omitempty"`
	Top1FP32  *Share  `json:"top1_fp32,omitempty"`
	Top5FP32  *Share  `json:"top5_fp32,omitempty"`
	SQNR      float64 `json:"logit_sqnr_db"`
	Cosine    float64 `json:"logit_cosine"` // mean
	MaxDiff   float64 `json:"logit_max_abs_diff"`
	Classes   []Flip  `json:"classes,omitempty"` // where labels are known, those that changed, most first
	Moves     []Move  `json:"moves,omitempty"`   // answers that are others than FP32's, most first
	NaN       int     `json:"nan"`               // answers that are no numbers
	Noise     float64 `json:"-"`                 // sum of the squares that the logits are off
	// Answers are the logits of the first pictures, by number, as many as Evaluator.Keep says.
	Answers map[int][]float32 `json:"-"`
}

// Move is how often FP32 answers From and the file To.
type Move struct {
	From   int    `json:"from"`
	To     int    `json:"to"`     // -1: no number
	Labels string `json:"labels"` // for whoever knows them to fill in
	Count  int    `json:"pictures"`
}

// Flip is how often a class is found by each file.
type Flip struct {
	Class  int    `json:"class"`
	Label  string `json:"label"` // for whoever knows the labels to fill in
	Images int    `json:"images"`
	FP32   int    `json:"fp32_right"`
	Here   int    `json:"right"`
}

// Judge compares files with one reference, which it asks beforehand, once about each picture: the
// two need not be in memory together.
type Evaluator struct {
	Keep    int // of how many pictures, the first, a Verdict has the answers
	classes int

	mu    sync.Mutex
	known map[int][]float32 // answers of the reference, by picture
}

// row is one picture's outcome, kept so that sums are taken in one order.
type row struct {
	picture, label     int
	logits             []float32 // nil: not kept
	fp32, own          answer
	signal, noise, cos float64
	diff               float64
	nan                bool
}

// NewJudge compares files whose one output is the logits of classes classes.
func NewEvaluator(classes int) *Evaluator {
	return &Evaluator{classes: classes, known: map[int][]float32{}}
}

// Labelled gives one picture after the other, always the same under one number, with the index of
// its class, -1 where that is not known, and io.EOF after the last.
type Labelled func(ctx context.Context, t *vision.Tensor) (picture, label int, err error)

// Knows tells whether the reference has been asked about a picture.
func (j *Evaluator) Knows(picture int) bool { return j.Reference(picture) != nil }

// Reference is what the reference said of a picture; nil: it has not been asked. It is not to be
// changed.
func (j *Evaluator) Reference(picture int) []float32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.known[picture]
}

// Tell notes what the reference says of a picture, for whoever has asked it already.
func (j *Evaluator) Tell(picture int, answer []float32) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.known[picture] = answer[:j.classes]
}

// Ask notes what reference says of all pictures of next that it has not been asked about.
func (j *Evaluator) Ask(ctx context.Context, reference *infer.Probe, workers, size int, next Labelled) error {
	group, ctx := errgroup.WithContext(ctx)
	for range max(1, workers) {
		group.Go(func() error {
			t := vision.NewTensor(1, 3, size, size)
			for {
				picture, _, err := next(ctx, t)
				switch {
				case errors.Is(err, io.EOF):
					return nil
				case err != nil:
					return err
				case j.Knows(picture):
					continue
				}
				var answer []float32
				if err := reference.Run(ctx, t,
					func(_ int, v []float32) { answer = slices.Clone(v[:j.classes]) }); err != nil {
					return err
				}
				j.mu.Lock()
				j.known[picture] = answer
				j.mu.Unlock()
			}
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// Run judges own on all pictures of next, which Ask must have seen, with the given number of
// workers. The order of the pictures leaves no trace.
func (j *Evaluator) Run(ctx context.Context, own *infer.Probe, workers, size int, next Labelled) (Verdict, error) {
	return j.RunParts(ctx, own, workers, size, []Labelled{next}, func(Verdict) bool { return false })
}

// RunParts is Run on the pictures of one part after the other, up to the first part behind which
// enough says that the verdict so far will do.
func (j *Evaluator) RunParts(ctx context.Context, own *infer.Probe, workers, size int, parts []Labelled,
	enough func(Verdict) bool) (v Verdict, err error) {
	var rows []row
	for _, next := range parts {
		more, err := j.rows(ctx, own, workers, size, next)
		if err != nil {
			return v, fmt.Errorf("eval: %w", err)
		}
		if rows = append(rows, more...); len(rows) == 0 {
			continue
		}
		if v = verdict(rows); enough(v) {
			break
		}
	}
	if len(rows) == 0 {
		return v, errors.New("eval: no pictures")
	}
	return v, nil
}

// rows are the outcomes of pictures.
func (j *Evaluator) rows(ctx context.Context, own *infer.Probe, workers, size int, next Labelled) ([]row, error) {
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	var rows []row
	for range max(1, workers) {
		group.Go(func() error {
			t, logits := vision.NewTensor(1, 3, size, size), make([]float32, j.classes)
			for {
				picture, label, err := next(ctx, t)
				if errors.Is(err, io.EOF) {
					return nil
				}
				j.mu.Lock()
				want := j.known[picture]
				j.mu.Unlock()
				switch {
				case err != nil:
				case want == nil:
					err = fmt.Errorf("the reference has not been asked about picture %d", picture)
				default:
					err = own.Run(ctx, t, func(_ int, v []float32) { copy(logits, v) })
				}
				if err != nil {
					return err
				}
				r := compare(label, want, logits)
				if r.picture = picture; picture < j.Keep {
					r.logits = slices.Clone(logits)
				}
				mu.Lock()
				rows = append(rows, r)
				mu.Unlock()
			}
		})
	}
	return rows, group.Wait()
}

func compare(label int, a, b []float32) row {
	r := row{label: label}
	r.fp32, r.own = answerOf(a, label), answerOf(b, label)
	var aa, bb, ab float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		if math.IsNaN(y) || math.IsInf(y, 0) {
			r.nan, r.own = true, answer{top: -1}
			y = 0
		}
		aa, bb, ab = aa+x*x, bb+y*y, ab+x*y
		r.noise += (x - y) * (x - y)
		r.diff = max(r.diff, math.Abs(x-y))
	}
	r.signal = aa
	if aa > 0 && bb > 0 {
		r.cos = ab / math.Sqrt(aa*bb)
	}
	return r
}

// verdict sums up the rows, sorted so that the order of the pictures leaves no trace.
func verdict(rows []row) Verdict {
	sort.Slice(rows, func(a, b int) bool {
		x, y := &rows[a], &rows[b]
		if x.noise != y.noise {
			return x.noise < y.noise
		}
		return x.signal < y.signal
	})
	v := Verdict{Images: len(rows), Answers: map[int][]float32{}}
	var c Counts
	var signal, noise, cos float64
	classes, moves := map[int]*Flip{}, map[[2]int]int{}
	for i := range rows {
		r := &rows[i]
		signal, noise, cos = signal+r.signal, noise+r.noise, cos+r.cos
		if r.logits != nil {
			v.Answers[r.picture] = r.logits
		}
		v.MaxDiff = max(v.MaxDiff, r.diff)
		c.add(r.label, r.fp32, r.own)
		if r.fp32.top != r.own.top {
			moves[[2]int{r.fp32.top, r.own.top}]++
		}
		v.NaN += is(r.nan)
		if r.label < 0 {
			continue
		}
		if classes[r.label] == nil {
			classes[r.label] = &Flip{Class: r.label}
		}
		f := classes[r.label]
		f.Images++
		f.FP32 += is(r.fp32.top == r.label)
		f.Here += is(r.own.top == r.label)
	}
	v.Agreement = NewShare(c.Same, c.Images)
	v.Noise, v.SQNR, v.Cosine = noise, SQNR(signal, noise), cos/float64(len(rows))
	if c.Labelled > 0 {
		v.Top1, v.Top5 = ref(NewShare(c.Right, c.Labelled)), ref(NewShare(c.Right5, c.Labelled))
		v.Top1FP32, v.Top5FP32 = ref(NewShare(c.ReferenceRight, c.Labelled)),
			ref(NewShare(c.ReferenceRight5, c.Labelled))
	}
	v.Classes, v.Moves = changed(classes), mostMoved(moves)
	return v
}

// mostMoves are the most that a Verdict lists.
const mostMoves = 20

// mostMoved are the moves, the most frequent first.
func mostMoved(counts map[[2]int]int) []Move {
	var all []Move
	for m, n := range counts {
		all = append(all, Move{From: m[0], To: m[1], Count: n})
	}
	sort.Slice(all, func(a, b int) bool {
		x, y := &all[a], &all[b]
		if x.Count != y.Count {
			return x.Count > y.Count
		}
		return x.From < y.From || x.From == y.From && x.To < y.To
	})
	return all[:min(len(all), mostMoves)]
}

// changed are the classes that one of the two files finds more often, most changed first.
func changed(classes map[int]*Flip) []Flip {
	var all []Flip
	for _, f := range classes {
		if f.FP32 != f.Here {
			all = append(all, *f)
		}
	}
	sort.Slice(all, func(a, b int) bool {
		x, y := all[a].FP32-all[a].Here, all[b].FP32-all[b].Here
		if max(x, -x) != max(y, -y) {
			return max(x, -x) > max(y, -y)
		}
		return all[a].Class < all[b].Class
	})
	return all
}

func is(b bool) int {
	if b {
		return 1
	}
	return 0
}

func ref[T any](v T) *T { return &v }
