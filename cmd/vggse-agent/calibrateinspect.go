package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vision"
)

// inspect looks at every picture and at what the network says of it, before anything is made of them.
func (c *calibration) inspect(ctx context.Context) error {
	looks := make([]quant.Look, len(c.tune.files))
	half := halvesOf(c.tune.files)
	reference, err := c.reference(ctx)
	if err != nil {
		return err
	}
	defer reference.Close()
	bar := progress.New(c.cmd.ErrOrStderr(), "looking", int64(len(looks)), false)
	err = fanOut(ctx, c.workers, func(ctx context.Context) error {
		t := vision.NewTensor(1, 3, c.size(), c.size())
		for {
			var look quant.Look
			at, label, err := c.tune.take(t, func(f *vision.Frame) { look = quant.NewLook(f) })
			if err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			look.Class, look.Half = label, half[at]
			err = reference.Run(ctx, t, func(_ int, v []float32) {
				if top := vision.TopK(nil, v, 1); len(top) == 1 {
					look.Guess = top[0]
				}
			})
			if err != nil {
				return err
			}
			looks[at] = look
			_ = bar.Add(1)
		}
	})
	if err != nil {
		return err
	}
	_ = bar.Finish()
	c.report.Findings = append(c.report.Findings, quant.Distrust(looks, len(c.bundle.Spec.Labels))...)
	suspect, err := c.suspect(ctx, reference)
	if err != nil {
		return err
	}
	c.report.Findings = append(c.report.Findings, suspect...)
	for _, f := range c.report.Findings {
		if f.Severity == "refuse" {
			return fmt.Errorf("these pictures cannot calibrate anything: %s (%s)", f.Evidence, f.Cure)
		}
		fmt.Fprintf(c.cmd.ErrOrStderr(), "warning: %s: %s (%s)\n", f.Check, f.Evidence, f.Cure)
	}
	return nil
}

// halvesOf says for each picture whether it is one of the first of its folder, by name, or of the last: 0 or 1.
func halvesOf(files []sample) []int {
	order := make([]int, len(files))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(files[a].path, files[b].path) })
	folders, seen, half := map[string]int{}, map[string]int{}, make([]int, len(files))
	for i := range files {
		folders[filepath.Dir(files[i].path)]++
	}
	for _, i := range order {
		dir := filepath.Dir(files[i].path)
		half[i] = min(1, 2*seen[dir]/folders[dir])
		seen[dir]++
	}
	return half
}

// How many pictures the preprocessing is tried on.
const (
	suspectSmall = 128
	suspectLarge = 32
	surerSmall   = 1024 // where small differences may tell something
	surerLarge   = 32
)

// suspect asks whether the network would do better with its pictures prepared otherwise than the manifest says.
func (c *calibration) suspect(ctx context.Context, reference quant.Session) ([]quant.Finding, error) {
	variants := quant.Variants(c.bundle.Spec.Preprocess)
	files := c.tune.files
	few := files[:min(len(files), c.choicePictures(suspectSmall, suspectLarge))]
	many := files[:min(len(files), c.choicePictures(surerSmall, surerLarge))]
	bar := progress.New(c.cmd.ErrOrStderr(), "doubting", int64(2*len(many)+len(few)*(len(variants)-1)), false)
	declared, err := c.answers(ctx, reference, many, c.bundle.Spec.Preprocess, func() { _ = bar.Add(1) })
	if err != nil {
		return nil, err
	}
	answers := make([][]quant.Answer, len(variants))
	for i, v := range variants {
		files := few
		if v.SameRange {
			files = many
		}
		if answers[i], err = c.answers(ctx, reference, files, v.Preprocess, func() { _ = bar.Add(1) }); err != nil {
			return nil, err
		}
	}
	return quant.Suspect(declared, variants, answers), bar.Finish()
}

// answers are what FP32 says of pictures that are prepared by p.
func (c *calibration) answers(ctx context.Context, reference quant.Session, files []sample, p vision.Preprocess, count func()) ([]quant.Answer, error) {
	spec := c.bundle.Spec
	spec.Preprocess = p
	set, all := &pictureSet{files: files, spec: &spec}, make([]quant.Answer, len(files))
	return all, fanOut(ctx, c.workers, func(ctx context.Context) error {
		t := vision.NewTensor(1, 3, c.size(), c.size())
		for {
			i, label, err := set.take(t, nil)
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = reference.Run(ctx, t, func(_ int, v []float32) { all[i] = quant.Answer{Label: label, Logits: slices.Clone(v)} })
			}
			if err != nil {
				return err
			}
			count()
		}
	})
}
