package quant

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/eval"
)

// Budget is what a plan may lose, on the pictures that choices are made with.
type Budget struct {
	// share of right answers, of equal answers without labels; 0: not asked
	Loss      float64 `json:"top1_loss,omitempty"`
	SQNR      float64 `json:"logit_sqnr_db,omitempty"` // least; 0: not asked
	Agreement float64 `json:"agreement,omitempty"`     // least; 0: not asked
}

// ParseBudget reads 0.1pt (points of top-1) or 30dB (of the logits).
func ParseBudget(text string) (Budget, error) {
	for unit, make := range map[string]func(v float64) Budget{
		"pt": func(v float64) Budget { return Budget{Loss: v / 100} },
		"dB": func(v float64) Budget { return Budget{SQNR: v} },
	} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			if v, err := strconv.ParseFloat(number, 64); err == nil && v > 0 {
				return make(v), nil
			}
		}
	}
	return Budget{}, fmt.Errorf("a budget is a number above 0 with its unit, 0.1pt (points of top-1) or 30dB (of "+
		"the logits), got %q", text)
}

// Holds tells whether t is within the budget.
func (b Budget) Holds(t Trial) bool {
	return (b.Loss == 0 || t.Loss <= b.Loss) && t.SQNR >= b.SQNR && t.Same.Value >= b.Agreement
}

// lost tells whether a file is out of the budget whatever it answers to the rest of the pictures: v
// is how it did so far.
func (b Budget) lost(v *eval.Verdict, all *stake) bool {
	left := all.pictures - v.Images
	best := Trial{Same: eval.NewShare(v.Agreement.Hits+left, all.pictures),
		SQNR: eval.SQNR(all.signal, v.Noise*(1-1e-9))} // sums in another order
	best.Loss = 1 - best.Same.Value
	if all.labelled > 0 {
		right, of := 0, 0
		if v.Top1 != nil {
			right, of = v.Top1.Hits, v.Top1.Of
		}
		best.Loss = eval.NewShare(all.right, all.labelled).Value -
			eval.NewShare(right+all.labelled-of, all.labelled).Value
	}
	return !b.Holds(best)
}

// stake is what is known of a set of pictures before a file is asked about any.
type stake struct {
	pictures, labelled int
	right              int     // answers of FP32
	signal             float64 // sum of the squares of its logits
}

// MaxEvaluations is the most that Search makes of one plan.
const MaxEvaluations = 40

// Step is one evaluation of a Search.
type Step struct {
	What     string   `json:"what"` // start, before, alone, neighbours, together or revert
	Names    []string `json:"changes"`
	SQNR     float64  `json:"logit_sqnr_db"`
	Same     float64  `json:"agreement"`
	Pictures int      `json:"pictures"` // as many as it took to see
	Holds    bool     `json:"holds"`
}

// Searched is how a Search went.
type Searched struct {
	Budget  Budget   `json:"budget"`
	Steps   []Step   `json:"steps"`
	Held    bool     `json:"held"`
	Changes []string `json:"changes"` // that were kept
	// Order are all changes in the order in which they were made, those first that take most noise
	// away; empty where the budget was held at once.
	Order []string `json:"order,omitempty"`
}

// search is one Search under way.
type search struct {
	ctx      context.Context
	start    *Plan
	evaluate Try
	all      []change
	out      Searched
}

// change is one thing that may be given up for accuracy.
type change struct {
	name  string
	apply func(*Plan)
	gain  float64 // noise that it takes away, where the signal is 1
	size  int64   // weights that are stored in more bytes
}

// Try evaluates a plan. With a budget that is about whether it holds: the trial may end with the
// picture behind which it is lost. Without one it is about the SQNR, to hold against other such: few
// pictures tell, always the same.
type Try func(ctx context.Context, p *Plan, b *Budget) (Trial, error)

// Search gives up integers where that keeps start within the budget, and no more than that: it
// ranks what could be demoted (each layer, the sums of branches, the gates and the squeezes of the attention blocks) by
// what it brings alone, takes as few of the best as hold the budget, and takes back those that turn
// out not to matter. Where nothing holds the budget the plan is start, and Held is false. It
// evaluates MaxEvaluations plans at most. A layer that is sensitive is so with either kind of codes:
// where order, of a Search of the same network, names all that there is to demote, nothing is tried
// alone.
func Search(ctx context.Context, n *Graph, start *Plan, b Budget, order []string, evaluate Try) (*Plan,
	Searched, error) {
	s := search{ctx: ctx, start: start, evaluate: evaluate, all: changes(n, start),
		out: Searched{Budget: b, Changes: []string{}}}
	if held, err := s.holds("start", nil); err != nil || held {
		s.out.Held = held
		return start, s.out, err
	}
	if !s.rankAs(order) {
		if err := s.rank(); err != nil {
			return start, s.out, err
		}
	}
	for _, c := range s.all {
		s.out.Order = append(s.out.Order, c.name)
	}
	kept, err := s.fewest()
	if err != nil || kept == nil {
		return start, s.out, err
	}
	if kept, err = s.revert(kept); err != nil {
		return start, s.out, err
	}
	s.out.Held = true
	for _, c := range kept {
		s.out.Changes = append(s.out.Changes, c.name)
	}
	return s.with(kept), s.out, nil
}

// changes are all that there are for a plan.
func changes(n *Graph, p *Plan) []change {
	var all []change
	sums := slices.ContainsFunc(n.Sites, func(s Site) bool { return s.Kind == Sum })
	if sums && p.Levels == LevelsU8 && !p.SumsFloat {
		all = append(all, change{name: "sums", apply: func(p *Plan) { p.SumsFloat = true }})
	}
	for i := range n.Layers {
		if l := &n.Layers[i]; p.integer(l) {
			all = append(all, change{name: l.Name, size: l.Size,
				apply: func(p *Plan) { p.Float = append(p.Float, l.Name) }})
		}
	}
	gates := slices.ContainsFunc(n.Sites, func(s Site) bool { return s.Kind == SEGate })
	if gates && p.Levels == LevelsU8 && p.SE == "" {
		all = append(all, change{name: "gates", apply: func(p *Plan) { p.SE = SEGateFloat }})
	}
	squeezes := slices.ContainsFunc(n.Sites, func(s Site) bool { return s.Kind == Squeeze })
	if squeezes && p.Levels == LevelsU8 && !p.SqueezeFloat {
		all = append(all, change{name: "squeezes", apply: func(p *Plan) { p.SqueezeFloat = true }})
	}
	return all
}

// with is the plan with changes made.
func (s *search) with(made []change) *Plan {
	p := *s.start
	p.Float = slices.Clone(p.Float)
	for _, c := range made {
		c.apply(&p)
	}
	return &p
}

// holds tells whether the plan with changes made holds the budget.
func (s *search) holds(what string, made []change) (bool, error) {
	_, held, err := s.try(what, made, &s.out.Budget)
	return held, err
}

func (s *search) try(what string, made []change, b *Budget) (t Trial, held bool, err error) {
	if t, err = s.evaluate(s.ctx, s.with(made), b); err != nil {
		return t, false, err
	}
	held = b != nil && b.Holds(t)
	step := Step{What: what, Names: []string{}, SQNR: t.SQNR, Same: t.Same.Value, Pictures: t.Same.Of, Holds: held}
	for _, c := range made {
		step.Names = append(step.Names, c.name)
	}
	s.out.Steps = append(s.out.Steps, step)
	return t, held, nil
}

func (s *search) left() int { return MaxEvaluations - len(s.out.Steps) }

// searchReserve is what rank leaves for the steps after it.
const searchReserve = 11

// neighbours are changes that lie side by side, and what they take away together.
type neighbours struct {
	from, to int     // of all
	gain     float64 // share of noise in the scores
}

// rank puts the changes first that take most noise away. Where there is no room to try each alone,
// neighbours are tried together, and those with most to take away are parted, again and again: the
// noise of layers adds up, so what one part of them takes away tells what the rest does.
func (s *search) rank() error {
	before, _, err := s.try("before", nil, nil)
	if err != nil {
		return err
	}
	noise := noiseOf(before.SQNR)
	room := s.left() - searchReserve
	groups := len(s.all)
	if groups > room {
		groups = max(room/3, 1)
	}
	var parts []neighbours
	for i := range groups {
		part := neighbours{from: i * len(s.all) / groups, to: (i + 1) * len(s.all) / groups}
		if err := s.measure(&part, noise); err != nil {
			return err
		}
		parts = append(parts, part)
	}
	for s.left() > searchReserve {
		worst := mostToPart(parts)
		if worst < 0 {
			break
		}
		whole := parts[worst]
		middle := (whole.from + whole.to) / 2
		left := neighbours{from: whole.from, to: middle}
		if err := s.measure(&left, noise); err != nil {
			return err
		}
		parts[worst] = left
		parts = append(parts, neighbours{middle, whole.to, whole.gain - left.gain})
	}
	for _, p := range parts {
		for i := p.from; i < p.to; i++ {
			s.all[i].gain = p.gain / float64(p.to-p.from)
		}
	}
	sort.SliceStable(s.all, func(a, b int) bool { return s.all[a].gain > s.all[b].gain })
	return nil
}

// rankAs puts the changes in the order in which their names are in order, if all of them are there.
func (s *search) rankAs(order []string) bool {
	if len(order) == 0 {
		return false
	}
	at := map[string]int{}
	for i, name := range order {
		at[name] = i
	}
	for _, c := range s.all {
		if _, known := at[c.name]; !known {
			return false
		}
	}
	slices.SortStableFunc(s.all, func(a, b change) int { return at[a.name] - at[b.name] })
	return true
}

// measure tries the changes of a part together.
func (s *search) measure(part *neighbours, noise float64) error {
	what := "alone"
	if part.to-part.from > 1 {
		what = "neighbours"
	}
	t, _, err := s.try(what, s.all[part.from:part.to], nil)
	part.gain = noise - noiseOf(t.SQNR)
	return err
}

// mostToPart is the part of more than one change that takes most noise away, -1 where there is none.
func mostToPart(parts []neighbours) int {
	worst := -1
	for i, p := range parts {
		if p.to-p.from > 1 && (worst < 0 || p.gain > parts[worst].gain) {
			worst = i
		}
	}
	return worst
}

// noiseOf is the noise beside a signal of 1.
func noiseOf(sqnr float64) float64 { return math.Pow(10, -sqnr/10) }

// fewest is the shortest run of the best changes that holds the budget, by halving; nil where all
// together do not. With all of them the answers are FP32's: only a ratio of signal to noise can be too
// much to ask of that.
func (s *search) fewest() ([]change, error) {
	low, high := 0, len(s.all) // low does not hold
	if s.out.Budget.SQNR > 0 {
		if held, err := s.holds("together", s.all); err != nil || !held {
			return nil, err
		}
	}
	for high-low > 1 && s.left() > 0 {
		middle := (low + high) / 2
		held, err := s.holds("together", s.all[:middle])
		if err != nil {
			return nil, err
		}
		if held {
			high = middle
		} else {
			low = middle
		}
	}
	return slices.Clone(s.all[:high]), nil
}

// revert takes back what the budget holds without, the largest first, of equals the one that gains
// least.
func (s *search) revert(kept []change) ([]change, error) {
	order := slices.Clone(kept)
	slices.Reverse(order)
	sort.SliceStable(order, func(a, b int) bool { return order[a].size > order[b].size })
	for _, c := range order {
		if len(kept) == 1 || s.left() == 0 {
			break
		}
		without := slices.DeleteFunc(slices.Clone(kept), func(k change) bool { return k.name == c.name })
		held, err := s.holds("revert", without)
		if err != nil {
			return nil, err
		}
		if held {
			kept = without
		}
	}
	return kept, nil
}
