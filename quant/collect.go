package quant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/model"
	"github.com/vggse/vggse-agent/onnx"
)

// Stats is what a collection knows of one site.
type Stats struct {
	Histogram *Histogram `json:"histogram"`
	// Sums is, for each channel, the sum over the pictures of the channel's mean, in units of 2^-24: as
	// integers, so that it does not depend on the order of the pictures.
	Sums []int64 `json:"sums,omitempty"`
}

// sumUnit is the unit of Stats.Sums.
const sumUnit = 1.0 / (1 << 24)

// Collection is what running a network over pictures has told of its sites.
type Collection struct {
	Source string           `json:"source"` // SHA-256 of the FP32 file
	Images int              `json:"images"`
	Stats  map[string]Stats `json:"stats"` // by Site.Name
}

// NewCollection returns an empty collection for the sites of n.
func NewCollection(n *Network, source string) *Collection {
	c := &Collection{Source: source, Stats: map[string]Stats{}}
	for _, t := range n.Tensors() {
		c.Stats[t] = Stats{Histogram: NewHistogram()}
	}
	return c
}

// Merge adds what o has collected, on this or another device, of the same network.
func (c *Collection) Merge(o *Collection) error {
	if c.Source != o.Source {
		return fmt.Errorf("quant: merge: the collections are of two networks, %.12s… and %.12s…", c.Source, o.Source)
	}
	for t, s := range c.Stats {
		if len(s.Sums) != 0 && len(o.Stats[t].Sums) != 0 && len(s.Sums) != len(o.Stats[t].Sums) || o.Stats[t].Histogram == nil {
			return fmt.Errorf("quant: merge: the collections differ in %s", t)
		}
	}
	for t, s := range c.Stats {
		s.Histogram.Merge(o.Stats[t].Histogram)
		c.Stats[t] = Stats{s.Histogram, addSums(s.Sums, o.Stats[t].Sums)}
	}
	c.Images += o.Images
	return nil
}

func addSums(a, b []int64) []int64 {
	if a == nil {
		return append(a, b...)
	}
	for i, v := range b {
		a[i] += v
	}
	return a
}

// WriteProbe writes m with the given tensors as its only outputs: what a collection runs.
func WriteProbe(w io.Writer, m *onnx.Model, tensors []string) error {
	probe := *m
	probe.Graph.Outputs = nil
	for _, t := range tensors {
		probe.Graph.Outputs = append(probe.Graph.Outputs, onnx.ValueInfo{Name: t, Type: onnx.Float32})
	}
	return onnx.Write(w, &probe)
}

// Next gives one picture after the other: it writes it into t and returns io.EOF after the last. Several
// workers call it, each with a tensor of its own.
type Next func(ctx context.Context, t *model.Tensor) error

// Collect runs session, whose outputs are n.Tensors(), over all pictures of next with the given number of
// workers, each one run of the session at a time, and adds what it sees to c. The result is the same
// for any order and any number of workers; memory does not grow with the pictures.
func Collect(ctx context.Context, c *Collection, n *Network, session Session, workers, size int, next Next) error {
	parts := make([]*Collection, max(1, workers))
	group, ctx := errgroup.WithContext(ctx)
	for i := range parts {
		parts[i] = NewCollection(n, c.Source)
		group.Go(func() error { return parts[i].run(ctx, n, session, size, next) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("quant: collect: %w", err)
	}
	for _, p := range parts {
		if err := c.Merge(p); err != nil {
			return err
		}
	}
	return c.Check(n)
}

// run is one worker.
func (c *Collection) run(ctx context.Context, n *Network, session Session, size int, next Next) error {
	t := model.NewTensor(1, 3, size, size)
	names := n.Tensors()
	for {
		switch err := next(ctx, t); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		err := session.Run(ctx, t, func(i int, v []float32) {
			s := c.Stats[names[i]]
			s.Histogram.Add(v)
			s.Sums = addChannels(s.Sums, v, n.channels(names[i]))
			c.Stats[names[i]] = s
		})
		if err != nil {
			return err
		}
		c.Images++
	}
}

// channels is the number of channels of a site, 0 where the graph does not tell.
func (n *Network) channels(tensor string) int {
	for _, l := range n.Layers {
		if l.Relu == tensor {
			return int(n.graph.Initializer(l.Weight).Dims[0])
		}
	}
	return 0
}

// addChannels adds the mean of each channel of v, channels×area, to sums.
func addChannels(sums []int64, v []float32, channels int) []int64 {
	if channels == 0 || len(v)%channels != 0 {
		return sums
	}
	if sums == nil {
		sums = make([]int64, channels)
	}
	area := len(v) / channels
	for c := range sums {
		sum := 0.0
		for _, x := range v[c*area:][:area] {
			sum += float64(x)
		}
		if mean := sum / float64(area) / sumUnit; math.Abs(mean) < 1<<52 {
			sums[c] += int64(math.RoundToEven(mean))
		}
	}
	return sums
}

// Check returns what makes the collection useless: nothing collected, or values that are not numbers.
func (c *Collection) Check(n *Network) error {
	if c.Images == 0 {
		return errors.New("quant: collect: no pictures")
	}
	for _, s := range n.Sites[1:] {
		h := c.Stats[s.Name].Histogram
		switch {
		case h.Invalid > 0:
			return fmt.Errorf("quant: collect: %s puts out NaN or infinity %d times: the weights are damaged, or the preprocessing is not the network's", s.Layer, h.Invalid)
		case h.Negative > 0:
			return fmt.Errorf("quant: collect: %s puts out negative values, which it cannot: this runtime is broken", s.Layer)
		}
	}
	return nil
}
