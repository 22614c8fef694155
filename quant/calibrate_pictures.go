package quant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
)

// preparedRoom is how much of the prepared pictures is kept on the disk, bytes: they are gone through
// again and again, and decoding one takes a small network several times as long as answering.
const preparedRoom = 512 << 20

// pictures finds, hashes and divides the pictures.
func (c *calibration) pictures(ctx context.Context) error {
	dir := c.Images
	if c.Camera != "" {
		dir = c.path("frames")
		bar := c.progress.Start("taking frames", int64(c.Frames))
		found, err := dataset.SaveFrames(ctx, c.Camera, c.Frames, dir, bar.One)
		if err != nil {
			return err
		}
		bar.Done()
		c.found(found...)
	}
	all, err := c.list(ctx, dir)
	if err != nil {
		return err
	}
	var others []dataset.Picture
	if c.Eval != "" {
		if others, err = c.list(ctx, c.Eval); err != nil {
			return err
		}
	}
	fit, choose, held, err := dataset.Split(all, others)
	if err != nil {
		return err
	}
	if c.prepared, err = dataset.NewStore(c.dir, preparedRoom); err != nil {
		return err
	}
	c.fit = c.set(fit)
	c.choice, c.held = c.evaluated(choose), c.evaluated(held)
	digests := sha256.New()
	for _, p := range fit {
		io.WriteString(digests, p.SHA256)
	}
	c.report.Pictures = Pictures{Calibration: len(fit), Choice: len(choose) - len(fit), HeldOut: len(held),
		SHA256:   hex.EncodeToString(digests.Sum(nil)),
		Labelled: slices.ContainsFunc(held, func(p dataset.Picture) bool { return p.Label >= 0 })}
	return nil
}

func (c *calibration) list(ctx context.Context, dir string) ([]dataset.Picture, error) {
	files, found, err := dataset.ListReadable(ctx, dir, c.bundle.Spec.Labels)
	c.found(found...)
	return files, err
}

func (c *calibration) set(files []dataset.Picture) *dataset.Set {
	set := dataset.New(files, c.bundle.Spec.Preprocess, c.size(), 0)
	set.Keep(c.prepared)
	return set
}

// evaluated is a set with an evaluator of its own.
func (c *calibration) evaluated(files []dataset.Picture) *evaluated {
	return &evaluated{c.set(files), eval.NewEvaluator(len(c.bundle.Spec.Labels))}
}

// part is the first n pictures, with the same evaluator.
func (e *evaluated) part(n int) *evaluated { return &evaluated{e.set.Part(n), e.evaluator} }
