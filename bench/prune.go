package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/vggse/vggse-agent/prune"
)

// What is asked of prune on the demo network, at half the multiply-adds.
const (
	pruneJudged     = 10_400
	pruneJudgedSeed = 77
	pruneProcessor  = 60 // seconds, without judging
)

// pruneSizes are pictures to fit on, and points of top-1 that may be lost with so many.
var pruneSizes = []struct {
	pictures int
	lost     float64
}{{8000, 1}, {512, 2}}

// pruneSeeds are the draws of the pictures.
var pruneSeeds = []int{31, 41, 51}

// prunePeers are the choices of bench/prune/choices.py, which are fitted like ours.
var prunePeers = []struct{ name, what string }{
	{"group-taylor", "torch-pruning's GroupTaylorImportance, which looks at labels"},
	{"taylor", "Taylor (Molchanov et al.), which looks at labels"},
	{"lasso", "LASSO (He et al.)"},
	{"group-magnitude", "torch-pruning's GroupMagnitudeImportance"},
	{"l1", "largest weights (L1)"},
	{"random", "by lot"},
}

// pruneReport halves the multiply-adds of the demo network, with pictures of several draws, and fits
// the channels that others would keep on those of the first.
func (o *options) pruneReport(ctx context.Context, r *report) error {
	held, err := o.drawn(ctx, "prune-held", pruneJudged, pruneJudgedSeed)
	if err != nil {
		return err
	}
	for _, size := range pruneSizes {
		var lost, half []float64
		for i, seed := range pruneSeeds {
			images, err := o.drawn(ctx, fmt.Sprintf("prune-%d-%d", size.pictures, seed), size.pictures, seed)
			if err != nil {
				return err
			}
			out := filepath.Join(o.scratch, "pruned")
			p, err := o.pruned(ctx, out, images, held, "--target", "2x")
			if err != nil {
				return err
			}
			if i == 0 {
				r.section(fmt.Sprintf("The demo network at half its multiply-adds, fitted on %d pictures, "+
					"judged on %d others", p.Fitted, p.HeldOut))
			}
			lost, half = append(lost, 100*p.Ways[1].Lost), append(half, 100*p.Ways[1].LostHalf)
			r.fact(fmt.Sprintf("seed %d: multiply-adds; speed; agreement; top-1", seed),
				fmt.Sprintf("%.1f → %.1f million; %.2f times; %.2f %%; %.2f → %.2f %%, %s points lost",
					float64(p.Before.MACs)/1e6, float64(p.After.MACs)/1e6, p.Latency.Speedup, 100*p.Ways[1].Agreement,
					100**p.Ways[0].Top1, 100**p.Ways[1].Top1, points(&p.Ways[1])))
			fit := 0.0
			for _, step := range []string{"pictures", "study", "fit"} {
				fit += p.Processor[step]
			}
			r.atMost(fmt.Sprintf("seed %d: processor time without judging, s", seed), fit, pruneProcessor,
				fmt.Sprintf("%.1f (judging %.1f)", fit, p.Processor["judge"]))
			if i == 0 {
				if err := o.peersOfPrune(ctx, r, images, held, out); err != nil {
					return err
				}
			}
		}
		r.atMost(fmt.Sprintf("%d pictures: points of top-1 lost, mean of %d draws", size.pictures, len(lost)),
			mean(lost), size.lost, fmt.Sprintf("%.2f, each ± %.2f", mean(lost), mean(half)))
	}
	return nil
}

// peersOfPrune are rows for the channels that others keep, as many of each layer as the bundle in
// out has.
func (o *options) peersOfPrune(ctx context.Context, r *report, images, held, out string) error {
	choices := filepath.Join(o.scratch, "prune-choices")
	if err := command(ctx, o.trainer, "bench/prune/choices.py", o.demo, images, filepath.Join(out, "report.json"),
		choices); err != nil {
		return err
	}
	for _, peer := range prunePeers {
		p, err := o.pruned(ctx, filepath.Join(o.scratch, "pruned-"+peer.name), images, held, "--channels",
			filepath.Join(choices, peer.name+".json"))
		if err != nil {
			return err
		}
		r.fact("as many channels by "+peer.what+", fitted like ours", points(&p.Ways[1])+" points lost")
		if peer.name == "random" {
			r.fact("the same, nothing fitted: by lot; largest weights",
				fmt.Sprintf("%.2f %%; %.2f %%", 100**p.Ways[4].Top1, 100**p.Ways[3].Top1))
		}
	}
	return nil
}

func points(w *prune.Way) string { return fmt.Sprintf("%.2f ± %.2f", 100*w.Lost, 100*w.LostHalf) }

// pruned prunes the demo network.
func (o *options) pruned(ctx context.Context, out, images, held string, args ...string) (*prune.Report, error) {
	if err := os.RemoveAll(out); err != nil {
		return nil, err
	}
	text, err := o.verb(ctx, append([]string{"prune", o.demo, "--json", "--images", images, "--eval", held, "--out",
		out, "--seconds", strconv.FormatFloat(o.seconds, 'g', -1, 64)}, args...)...)
	if err != nil {
		return nil, err
	}
	p := new(prune.Report)
	err = json.Unmarshal(text, p)
	if err == nil && (len(p.Ways) < 5 || p.Ways[1].Top1 == nil) {
		err = errors.New("prune: the pictures have no labels")
	}
	return p, err
}
