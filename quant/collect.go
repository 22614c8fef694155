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

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// Stats is what a collection knows of one site.
type Stats struct {
	Histogram *Histogram `json:"histogram"`
	// Sums is, for each channel, the sum over the pictures of the channel's mean, in units of
	// 2^-24: as integers, so that it does not depend on the order of the pictures.
	Sums []int64 `json:"sums,omitempty"`
	// Peaks are the largest values of the channels, of tensors that are never negative.
	Peaks []float32 `json:"peaks,omitempty"`
}

// sumUnit is the unit of Stats.Sums.
const sumUnit = 1.0 / (1 << 24)

// Collection is what running a network over pictures has told of its sites.
type Collection struct {
	Source string           `json:"source"` // SHA-256 of the FP32 file
	Images int              `json:"images"`
	Stats  map[string]Stats `json:"stats"` // by the tensors of Network.Tensors, and the picture
	// Done are the digests of the pictures, sorted: what a collection that is taken up again leaves
	// out.
	Done []string `json:"pictures"`
}

// NewCollection returns an empty collection for the sites of n.
func NewCollection(n *Graph, source string) *Collection {
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
		if len(s.Sums) != 0 && len(o.Stats[t].Sums) != 0 && len(s.Sums) != len(o.Stats[t].Sums) ||
			o.Stats[t].Histogram == nil {
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

// Next gives one picture after the other: it writes it into t and returns io.EOF after the last.
// Several workers call it, each with a tensor of its own.
type Next func(ctx context.Context, t *vision.Tensor) error

// Collect runs session, whose outputs are n.Tensors(), over all pictures of next with the given
// number of workers, each one run of the session at a time, and adds what it sees to c. The result
// is the same for any order and any number of workers; memory does not grow with the pictures.
func Collect(ctx context.Context, c *Collection, n *Graph, session *infer.Probe, workers, size int, next Next) error {
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
func (c *Collection) run(ctx context.Context, n *Graph, session *infer.Probe, size int, next Next) error {
	t := vision.NewTensor(1, 3, size, size)
	names := append(n.Tensors(), n.Sites[Input].Name)
	watchers, most := make([]watcher, len(names)), int(t.Shape[1])
	for i, name := range names {
		watchers[i] = watcher{Stats: c.Stats[name], channels: n.channels(name)}
		if i < len(n.Sites)-1 {
			watchers[i].cells = new(bins)
		}
		most = max(most, watchers[i].channels)
	}
	room, picture := make([]moments, most), &watchers[len(names)-1]
	picture.channels = int(t.Shape[1])
	defer func() {
		for i, name := range names {
			c.Stats[name] = watchers[i].stats()
		}
	}()
	for {
		switch err := next(ctx, t); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := session.Run(ctx, t, func(i int, v []float32) { watchers[i].add(v, room) }); err != nil {
			return err
		}
		picture.add(t.Data, room)
		c.Images++
	}
}

// channels is the number of channels of a tensor, 0 where the graph does not tell.
func (n *Graph) channels(tensor string) int {
	for i := range n.Layers {
		l := &n.Layers[i]
		w := n.graph.Initializer(l.Weight)
		switch {
		case l.Op == "MatMul": // its channels lie innermost
		case tensor == l.Reads && l.columns:
			return int(w.Dims[0])
		case tensor == l.Reads:
			return int(w.Dims[1] * l.groups)
		case tensor == l.Relu:
			return int(outputs(w, l.columns))
		}
	}
	return 0
}

// watcher adds what one tensor holds, picture by picture, to its Stats.
type watcher struct {
	Stats
	channels int   // 0: the graph does not tell them apart
	cells    *bins // of the histogram; nil: only the channels' means and peaks are wanted
	counted  int   // values in cells
}

// add takes in the values of one picture; m has room for the channels.
func (w *watcher) add(v []float32, m []moments) {
	known := w.channels != 0 && len(v)%w.channels == 0
	if m = m[:1]; known {
		m = m[:w.channels]
	}
	if w.cells == nil {
		count(nil, v, 0, 0, m)
	} else {
		if w.counted += len(v); w.counted > math.MaxInt32 {
			w.Histogram.take(w.cells)
			w.counted = len(v)
		}
		w.Histogram.add(w.cells, v, m)
	}
	if !known {
		return
	}
	if w.Sums == nil {
		w.Sums, w.Peaks = make([]int64, w.channels), make([]float32, w.channels)
	}
	area := float64(len(v) / w.channels)
	for k := range m {
		if mean := m[k].sum / area / sumUnit; math.Abs(mean) < 1<<52 {
			w.Sums[k] += int64(math.RoundToEven(mean))
		}
		if most := m[k].most(); most > w.Peaks[k] { // not the one that is no number
			w.Peaks[k] = most
		}
	}
}

// stats are those of all pictures so far.
func (w *watcher) stats() Stats {
	if w.cells != nil {
		w.Histogram.take(w.cells)
		w.counted = 0
	}
	return w.Stats
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

// Dead finds layers most of whose channels are 0 for every picture: what a wrong preprocessing
// looks like from inside.
func (c *Collection) Dead(n *Graph) []dataset.Finding {
	var found []dataset.Finding
	for _, s := range n.Sites[1:] {
		peaks, dead := c.Stats[s.Name].Peaks, 0
		for _, p := range peaks {
			if p == 0 {
				dead++
			}
		}
		if s.Kind == Activation && len(peaks) > 0 && float64(dead) > deadShare*float64(len(peaks)) {
			found = append(found, dataset.Finding{Check: "dead channels", Severity: "warn",
				Evidence: fmt.Sprintf("%d of %d channels of %s are 0 for every picture", dead, len(peaks), s.Layer),
				Cure:     "check the preprocessing in model.yaml: mean, standard deviation, order of the channels"})
		}
	}
	return found
}

// Check returns what makes the collection useless: nothing collected, or values that are not
// numbers.
func (c *Collection) Check(n *Graph) error {
	if c.Images == 0 {
		return errors.New("quant: collect: no pictures")
	}
	for _, s := range n.Sites[1:] {
		h := c.Stats[s.Name].Histogram
		switch {
		case h.Invalid > 0:
			return fmt.Errorf("quant: collect: %s puts out NaN or infinity %d times: the weights are damaged, or "+
				"the preprocessing is not the network's", s.Layer, h.Invalid)
		case h.Negative > 0 && !s.Signed:
			return fmt.Errorf("quant: collect: %s puts out negative values, which it cannot: this runtime is broken",
				s.Layer)
		}
	}
	return nil
}
