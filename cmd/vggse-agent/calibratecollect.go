package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vision"
)

// collectionEvery is after how many pictures a collection is written down.
const collectionEvery = 64

// collect runs the network over the pictures and counts what its layers put out; it takes up what --collection
// holds and adds what other devices have seen.
func (c *calibration) collect(ctx context.Context) error {
	var err error
	if c.collected, err = c.resume(); err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(c.tune.files), func(p sample) bool {
		_, done := slices.BinarySearch(c.collected.Done, p.digest)
		return done
	})
	if err := c.collectFrom(ctx, c.source, c.network, c.collected, left, c.keep); err != nil {
		return err
	}
	for _, path := range c.merge {
		other, err := readCollection(path)
		if err == nil {
			err = c.collected.Merge(other)
		}
		if err != nil {
			return fmt.Errorf("--merge %s: %w", path, err)
		}
	}
	c.report.Pictures.Calibration = c.collected.Images
	c.report.Pictures.SHA256 = c.collected.Digest()
	c.report.Findings = append(c.report.Findings, c.collected.Dead(c.network)...)
	return nil
}

// collectFrom adds what m's layers put out for files to into, and calls keep now and then, and at the end.
func (c *calibration) collectFrom(ctx context.Context, m *onnx.Model, n *quant.Network, into *quant.Collection, files []sample, keep func() error) error {
	if len(files) == 0 {
		return into.Check(n)
	}
	probe := c.path("probe.onnx")
	defer os.Remove(probe)
	if err := atomicfile.WriteFile(probe, func(w io.Writer) error { return quant.WriteProbe(w, m, n.Tensors()) }); err != nil {
		return err
	}
	if err := c.lessMemory(); err != nil {
		return err
	}
	s, err := c.rt.Open(ctx, probe, quant.Options{Outputs: n.Tensors()})
	if err != nil {
		return err
	}
	defer s.Close()
	bar := progress.New(c.cmd.ErrOrStderr(), "collecting", int64(len(files)), false)
	every := len(files)
	if c.collection != "" {
		every = collectionEvery
	}
	for part := range slices.Chunk(files, every) {
		set := &pictureSet{files: part, spec: &c.bundle.Spec}
		if err := quant.Collect(ctx, into, n, s, c.workers, c.size(), func(ctx context.Context, t *vision.Tensor) error {
			_, _, err := set.labelled(func() { _ = bar.Add(1) })(ctx, t)
			return err
		}); err != nil {
			return err
		}
		for _, p := range part {
			into.Done = append(into.Done, p.digest)
		}
		slices.Sort(into.Done)
		if err := keep(); err != nil {
			return err
		}
	}
	return bar.Finish()
}

// resume is the collection that --collection holds, or an empty one.
func (c *calibration) resume() (*quant.Collection, error) {
	empty := quant.NewCollection(c.network, c.report.Source)
	if c.collection == "" {
		return empty, nil
	}
	kept, err := readCollection(c.collection)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err == nil {
		err = empty.Merge(kept)
	}
	if err != nil {
		return nil, fmt.Errorf("--collection %s: %w", c.collection, err)
	}
	for _, p := range c.held.files {
		if _, used := slices.BinarySearch(empty.Done, p.digest); used {
			return nil, fmt.Errorf("--collection %s has been calibrated on pictures that are to be judged on: use the --images that it was made with, or give --eval", c.collection)
		}
	}
	fmt.Fprintf(c.cmd.ErrOrStderr(), "taking up %s: %d pictures are in it\n", c.collection, empty.Images)
	return empty, nil
}

func readCollection(path string) (*quant.Collection, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kept quant.Collection
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("is no collection: %w", err)
	}
	return &kept, nil
}

// keep writes the collection down.
func (c *calibration) keep() error {
	if c.collection == "" {
		return nil
	}
	return atomicfile.WriteFile(c.collection, func(w io.Writer) error { return json.NewEncoder(w).Encode(c.collected) })
}
