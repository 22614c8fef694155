package quant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

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
	// Peaks are the largest values of the channels.
	Peaks []float32 `json:"peaks,omitempty"`
}

// sumUnit is the unit of Stats.Sums.
const sumUnit = 1.0 / (1 << 24)

// Collection is what running a network over pictures has told of its sites.
type Collection struct {
	Source string           `json:"source"` // SHA-256 of the FP32 file
	Images int              `json:"images"`
	Stats  map[string]Stats `json:"stats"` // by the tensors of Network.Tensors, and the picture
	// Done are the digests of the pictures, sorted: what a collection that is taken up again leaves out.
	Done []string `json:"pictures"`
}

// NewCollection returns an empty collection for the sites of n.
func NewCollection(n *Network, source string) *Collection {
	c := &Collection{Source: source, Stats: map[string]Stats{}}
	for _, t := range append(n.Tensors(), n.Sites[Input].Name) {
		c.Stats[t] = Stats{Histogram: NewHistogram()}
	}
	return c
}

// Merge adds what o has collected, on this or another device, of the same network.
func (c *Collection) Merge(o *Collection) error {
	if c.Source != o.Source {
		return fmt.Errorf("quant: merge: the collections are of two networks, %.12s… and %.12s…", c.Source, o.Source)
	}
	for _, d := range o.Done {
		if _, twice := slices.BinarySearch(c.Done, d); twice {
			return fmt.Errorf("quant: merge: both collections hold the picture %.12s…: it would count twice", d)
		}
	}
	for t, s := range c.Stats {
		if len(s.Sums) != 0 && len(o.Stats[t].Sums) != 0 && len(s.Sums) != len(o.Stats[t].Sums) || o.Stats[t].Histogram == nil {
			return fmt.Errorf("quant: merge: the collections differ in %s", t)
		}
	}
	for t, s := range c.Stats {
		s.Histogram.Merge(o.Stats[t].Histogram)
		c.Stats[t] = Stats{s.Histogram, addSums(s.Sums, o.Stats[t].Sums), maxPeaks(s.Peaks, o.Stats[t].Peaks)}
	}
	c.Done = append(c.Done, o.Done...)
	slices.Sort(c.Done)
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

func maxPeaks(a, b []float32) []float32 {
	if a == nil {
		return append(a, b...)
	}
	for i, v := range b {
		a[i] = max(a[i], v)
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
	channels := make([]int, len(names))
	for i, t := range names {
		channels[i] = n.channels(t)
	}
	for {
		switch err := next(ctx, t); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		err := session.Run(ctx, t, func(i int, v []float32) {
			if i < len(n.Sites)-1 {
				c.Stats[names[i]].Histogram.Add(v)
			}
			c.channels(names[i], v, channels[i])
		})
		if err != nil {
			return err
		}
		c.channels(n.Sites[Input].Name, t.Data, int(t.Shape[1]))
		c.Images++
	}
}

// channels is the number of channels of a tensor, 0 where the graph does not tell.
func (n *Network) channels(tensor string) int {
	for _, l := range n.Layers {
		switch w := n.graph.Initializer(l.Weight); tensor {
		case l.Reads:
			return int(w.Dims[1])
		case l.Relu:
			return int(w.Dims[0])
		}
	}
	return 0
}

// channels adds the mean of each channel of v, channels×area, to the sums of a tensor, and keeps its peak.
func (c *Collection) channels(tensor string, v []float32, channels int) {
	if channels == 0 || len(v)%channels != 0 {
		return
	}
	s := c.Stats[tensor]
	if s.Sums == nil {
		s.Sums, s.Peaks = make([]int64, channels), make([]float32, channels)
		c.Stats[tensor] = s
	}
	area := len(v) / channels
	for k := range s.Sums {
		sum, peak := sumPeak(v[k*area:][:area])
		if mean := sum / float64(area) / sumUnit; math.Abs(mean) < 1<<52 {
			s.Sums[k] += int64(math.RoundToEven(mean))
		}
		s.Peaks[k] = max(s.Peaks[k], peak)
	}
}

// sumPeak is the sum of v and its largest value above 0; four sums side by side, as one addition waits for the last.
func sumPeak(v []float32) (sum float64, peak float32) {
	var s [4]float64
	for len(v) >= 4 {
		a, b, c, d := v[0], v[1], v[2], v[3]
		s[0], s[1], s[2], s[3] = s[0]+float64(a), s[1]+float64(b), s[2]+float64(c), s[3]+float64(d)
		if a > peak {
			peak = a
		}
		if b > peak {
			peak = b
		}
		if c > peak {
			peak = c
		}
		if d > peak {
			peak = d
		}
		v = v[4:]
	}
	for _, x := range v {
		s[0] += float64(x)
		peak = max(peak, x)
	}
	return s[0] + s[1] + s[2] + s[3], peak
}

// Digest is the SHA-256 of the digests of the pictures: the same set, the same digest.
func (c *Collection) Digest() string {
	set := sha256.New()
	for _, d := range c.Done {
		io.WriteString(set, d)
	}
	return hex.EncodeToString(set.Sum(nil))
}

// deadShare is the part of a layer's channels that may always be 0.
const deadShare = 0.5

// Dead finds layers most of whose channels are 0 for every picture: what a wrong preprocessing looks like from inside.
func (c *Collection) Dead(n *Network) []Finding {
	var found []Finding
	for _, s := range n.Sites[1:] {
		peaks, dead := c.Stats[s.Name].Peaks, 0
		for _, p := range peaks {
			if p == 0 {
				dead++
			}
		}
		if s.Kind == Activation && len(peaks) > 0 && float64(dead) > deadShare*float64(len(peaks)) {
			found = append(found, Finding{"dead channels", "warn", fmt.Sprintf("%d of %d channels of %s are 0 for every picture", dead, len(peaks), s.Layer),
				"check the preprocessing in model.yaml: mean, standard deviation, order of the channels"})
		}
	}
	return found
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
