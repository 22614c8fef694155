package quant

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
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

// MaxEvaluations is the most that Search makes of one plan.
const MaxEvaluations = 40

// Step is one evaluation of a Search.
type Step struct {
	What  string   `json:"what"` // start, alone, neighbours, together or revert
	Names []string `json:"changes"`
	SQNR  float64  `json:"logit_sqnr_db"`
	Same  float64  `json:"agreement"`
	Holds bool     `json:"holds"`
}

// Searched is how a Search went.
type Searched struct {
	Budget  Budget   `json:"budget"`
	Steps   []Step   `json:"steps"`
	Held    bool     `json:"held"`
	Changes []string `json:"changes"` // that were kept
}

// search is one Search under way.
type search struct {
	ctx      context.Context
	start    *Plan
	evaluate func(context.Context, *Plan) (Trial, error)
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

// Search gives up integers where that keeps start within the budget, and no more than that: it
// ranks what could be demoted (each layer, the sums of branches, the gates and the squeezes of the attention blocks) by
// what it brings alone, takes as few of the best as hold the budget, and takes back those that turn
// out not to matter. Where nothing holds the budget the plan is start, and Held is false. It
// evaluates MaxEvaluations plans at most.
func Search(ctx context.Context, n *Graph, start *Plan, b Budget, evaluate func(context.Context, *Plan) (Trial,
	error)) (*Plan, Searched, error) {
	s := search{ctx: ctx, start: start, evaluate: evaluate, all: changes(n, start),
		out: Searched{Budget: b, Changes: []string{}}}
	first, err := s.try("start", nil)
	if err != nil || b.Holds(first) {
		s.out.Held = err == nil
		return start, s.out, err
	}
	if err := s.rank(first.SQNR); err != nil {
		return start, s.out, err
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

func (s *search) try(what string, made []change) (Trial, error) {
	t, err := s.evaluate(s.ctx, s.with(made))
	if err != nil {
		return t, err
	}
	step := Step{What: what, Names: []string{}, SQNR: t.SQNR, Same: t.Same.Value, Holds: s.out.Budget.Holds(t)}
	for _, c := range made {
		step.Names = append(step.Names, c.name)
	}
	s.out.Steps = append(s.out.Steps, step)
	return t, nil
}

func (s *search) left() int { return MaxEvaluations - len(s.out.Steps) }

// searchReserve is what rank leaves for the steps after it.
const searchReserve = 12

// neighbours are changes that lie side by side, and what they take away together.
type neighbours struct {
	from, to int     // of all
	gain     float64 // share of noise in the scores
}

// rank puts the changes first that take most noise away. Where there is no room to try each alone,
// neighbours are tried together, and those with most to take away are parted, again and again: the
// noise of layers adds up, so what one part of them takes away tells what the rest does.
func (s *search) rank(before float64) error {
	noise := noiseOf(before)
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

// measure tries the changes of a part together.
func (s *search) measure(part *neighbours, noise float64) error {
	what := "alone"
	if part.to-part.from > 1 {
		what = "neighbours"
	}
	t, err := s.try(what, s.all[part.from:part.to])
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
// together do not.
func (s *search) fewest() ([]change, error) {
	low, high := 0, len(s.all) // low does not hold
	if _, err := s.try("together", s.all); err != nil || !s.out.Steps[len(s.out.Steps)-1].Holds {
		return nil, err
	}
	for high-low > 1 && s.left() > 0 {
		middle := (low + high) / 2
		if _, err := s.try("together", s.all[:middle]); err != nil {
			return nil, err
		}
		if s.out.Steps[len(s.out.Steps)-1].Holds {
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
		if _, err := s.try("revert", without); err != nil {
			return nil, err
		}
		if s.out.Steps[len(s.out.Steps)-1].Holds {
			kept = without
		}
	}
	return kept, nil
}
