package quant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/vision"
)

// collectionEvery is after how many pictures a collection is written down.
const collectionEvery = 64

// collect runs the network over the pictures and counts what its layers put out; it takes up what
// --collection holds and adds what other devices have seen.
func (c *calibration) collect(ctx context.Context) error {
	if len(c.levels()) == 0 {
		return nil
	}
	var err error
	if c.source.collected, err = c.resume(); err != nil {
		return err
	}
	collected := c.source.collected
	left := slices.DeleteFunc(slices.Clone(c.fit.Pictures), func(p dataset.Picture) bool {
		_, done := slices.BinarySearch(collected.Done, p.SHA256)
		return done
	})
	if err := c.collectFrom(ctx, &c.source, left, c.keep); err != nil {
		return err
	}
	for _, path := range c.Merge {
		other, err := readCollection(path)
		if err == nil {
			err = collected.Merge(other)
		}
		if err != nil {
			return fmt.Errorf("--merge %s: %w", path, err)
		}
	}
	c.chosen = c.source
	c.report.Pictures.Calibration = collected.Images
	c.report.Pictures.SHA256 = collected.Digest()
	c.found(collected.Dead(c.source.network)...)
	return nil
}

// collectFrom adds what the layers of s put out for pictures to its collection, and calls keep now
// and then, and at the end.
func (c *calibration) collectFrom(ctx context.Context, s *subject, pictures []dataset.Picture,
	keep func() error) error {
	if len(pictures) == 0 {
		return s.collected.Check(s.network)
	}
	probe := c.path("probe.onnx")
	defer os.Remove(probe)
	tensors := s.network.Tensors()
	if err := atomicfile.WriteScratch(probe,
		func(w io.Writer) error { return WriteProbe(w, s.model, tensors) }); err != nil {
		return err
	}
	if err := c.lessMemory(); err != nil {
		return err
	}
	watched, err := c.prober.Open(ctx, probe, infer.ProbeOptions{Outputs: tensors})
	if err != nil {
		return err
	}
	defer watched.Close()
	bar := c.progress.Start("collecting", int64(len(pictures)))
	every := len(pictures)
	if c.Collection != "" {
		every = collectionEvery
	}
	for part := range slices.Chunk(pictures, every) {
		next := countedBy(c.set(part), bar)
		err := Collect(ctx, s.collected, s.network, watched, c.Workers, c.size(),
			func(ctx context.Context, t *vision.Tensor) error {
				_, _, err := next(ctx, t)
				return err
			})
		if err != nil {
			return err
		}
		for _, p := range part {
			s.collected.Done = append(s.collected.Done, p.SHA256)
		}
		slices.Sort(s.collected.Done)
		if err := keep(); err != nil {
			return err
		}
	}
	bar.Done()
	return nil
}

// countedBy gives the pictures of a set and counts them on the bar.
func countedBy(s *dataset.Set, bar *progress.Bar) eval.Labelled {
	return func(ctx context.Context, t *vision.Tensor) (picture, label int, err error) {
		if picture, label, err = s.Next(ctx, t); err == nil {
			bar.One()
		}
		return picture, label, err
	}
}

// resume is the collection that --collection holds, or an empty one.
func (c *calibration) resume() (*Collection, error) {
	empty := NewCollection(c.source.network, c.report.Source)
	if c.Collection == "" {
		return empty, nil
	}
	kept, err := readCollection(c.Collection)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err == nil {
		err = empty.Merge(kept)
	}
	if err != nil {
		return nil, fmt.Errorf("--collection %s: %w", c.Collection, err)
	}
	for _, p := range c.held.set.Pictures {
		if _, used := slices.BinarySearch(empty.Done, p.SHA256); used {
			return nil, fmt.Errorf("--collection %s has been calibrated on pictures that are to be judged on: use "+
				"the --images that it was made with, or give --eval", c.Collection)
		}
	}
	c.progress.Say("taking up %s: %d pictures are in it", c.Collection, empty.Images)
	return empty, nil
}

// collectionLimit is the largest collection that is taken up, bytes.
const collectionLimit = 1 << 30

func readCollection(path string) (*Collection, error) {
	text, err := atomicfile.ReadSmall(path, collectionLimit)
	if err != nil {
		return nil, err
	}
	var kept Collection
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("is no collection: %w", err)
	}
	return &kept, nil
}

// keep writes the collection down.
func (c *calibration) keep() error {
	if c.Collection == "" {
		return nil
	}
	return atomicfile.WriteFile(c.Collection,
		func(w io.Writer) error { return json.NewEncoder(w).Encode(c.source.collected) })
}
