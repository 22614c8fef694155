package quant

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// CompareLayers runs the FP32 network and that of plan on pictures, all sites as outputs, so many
// pictures at the same time, and returns how far each site is off. It writes two files into dir and
// removes them. Of a large network only one of the two is in memory at a time.
func CompareLayers(ctx context.Context, rt infer.Prober, m *onnx.Model, n *Graph, plan *Plan, dir string,
	workers, size int, pictures *dataset.Set) ([]LayerReport, error) {
	own, err := EmitCPU(m, n, plan)
	if err != nil {
		return nil, err
	}
	var sites []Site
	var names, rounded []string
	as := n.roundedAs(own)
	for i, s := range n.Sites[1:] {
		if t := as[i+1]; t != "" {
			sites, names, rounded = append(sites, s), append(names, t), append(rounded, t+"/dq")
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	float, integer := filepath.Join(dir, "layers.fp32.onnx"), filepath.Join(dir, "layers.int8.onnx")
	defer os.Remove(float)
	defer os.Remove(integer)
	err = errors.Join(atomicfile.WriteScratch(float, func(w io.Writer) error { return WriteProbe(w, m, names) }),
		atomicfile.WriteScratch(integer, func(w io.Writer) error { return WriteProbe(w, own, rounded) }))
	if own = nil; err != nil {
		return nil, err
	}
	power, noise := make([]float64, len(sites)), make([]float64, len(sites))
	for from := 0; from < pictures.Len(); {
		var kept []seen
		err := with(ctx, rt, m, float, names, func(s *infer.Probe) (err error) {
			kept, err = keep(ctx, s, workers, size, pictures, from)
			return err
		})
		if err != nil {
			return nil, err
		}
		err = with(ctx, rt, m, integer, rounded, func(s *infer.Probe) error {
			return each(ctx, workers, len(kept), func(ctx context.Context, i int) error {
				k := &kept[i]
				k.power, k.noise = make([]float64, len(sites)), make([]float64, len(sites))
				return s.Run(ctx, k.picture, func(site int, v []float32) {
					k.power[site], k.noise[site] = differences(k.values[site], v, sites[site].Floor)
				})
			})
		})
		if err != nil {
			return nil, err
		}
		for _, k := range kept { // in one order, so that the sums are always the same
			for i := range sites {
				power[i], noise[i] = power[i]+k.power[i], noise[i]+k.noise[i]
			}
		}
		from += len(kept)
	}
	return plan.layerReports(n, sites, power, noise), nil
}

// seen is a picture, what the sites of FP32 hold of it, and how far the other network is off.
type seen struct {
	picture      *vision.Tensor // 1×3×size×size
	values       [][]float32    // by site
	power, noise []float64
}

// keep runs s on the pictures from a place on, as many as there is room for.
func keep(ctx context.Context, s *infer.Probe, workers, size int, pictures *dataset.Set, from int) ([]seen, error) {
	look := func(ctx context.Context, place int) (k seen, err error) {
		k.picture = vision.NewTensor(1, 3, size, size)
		if err := pictures.Load(place, k.picture); err != nil {
			return k, err
		}
		err = s.Run(ctx, k.picture, func(_ int, v []float32) { k.values = append(k.values, slices.Clone(v)) })
		return k, err
	}
	first, err := look(ctx, from)
	if err != nil {
		return nil, err
	}
	bytes := 0
	for _, v := range first.values {
		bytes += 4 * len(v)
	}
	kept := make([]seen, min(pictures.Len()-from, max(1, keptBytes/max(1, bytes))))
	kept[0] = first
	return kept, each(ctx, workers, len(kept)-1, func(ctx context.Context, i int) (err error) {
		kept[1+i], err = look(ctx, from+1+i)
		return err
	})
}

// each calls do with 0 to n-1, so many at the same time.
func each(ctx context.Context, workers, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, workers))
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// keptBytes is about how much of a network's inside CompareLayers holds at a time.
const keptBytes = 192 << 20

// differences are the sums of the squares of want, and of what got is off. Below floor, where it is
// not 0, all values are one.
func differences(want, got []float32, floor float64) (power, noise float64) {
	for k, x := range want {
		if floor < 0 {
			x = max(x, float32(floor))
		}
		d := float64(x - got[k])
		power += float64(x) * float64(x)
		noise += d * d
	}
	return power, noise
}

// with loads the file at path, written from m, for the time of use.
func with(ctx context.Context, rt infer.Prober, m *onnx.Model, path string, outputs []string,
	use func(*infer.Probe) error) error {
	debug.FreeOSMemory()
	if err := m.Forget(); err != nil {
		return err
	}
	s, err := rt.Open(ctx, path, infer.ProbeOptions{Outputs: outputs})
	if err != nil {
		return err
	}
	return errors.Join(use(s), s.Close())
}

// roundedAs is the first tensor of each site that the emitted graph has in 8 bits, by site: its
// own, or what a pool made of it.
func (n *Graph) roundedAs(own *onnx.Model) map[int]string {
	as := map[int]string{}
	for _, v := range own.Graph.Nodes {
		t, rounded := strings.CutSuffix(first(v.Outputs), "/dq")
		if site, known := n.site[t]; rounded && known && as[site] == "" {
			as[site] = t
		}
	}
	return as
}

func (p *Plan) layerReports(n *Graph, sites []Site, power, noise []float64) []LayerReport {
	alone := map[string]float64{}
	for _, ch := range p.Choices {
		alone[ch.Site] = ch.SQNR[ch.Method]
	}
	precision := map[string]string{}
	for i := range n.Layers {
		precision[n.Layers[i].Name] = "int8"
		if !p.integer(&n.Layers[i]) {
			precision[n.Layers[i].Name] = "float32"
		}
	}
	var reports []LayerReport
	for i, s := range sites {
		r := LayerReport{Layer: s.Layer, SQNR: eval.SQNR(power[i], noise[i]), Alone: alone[s.Name],
			Precision: precision[s.Layer]}
		if r.Precision == "" {
			r.Precision = "int8"
		}
		reports = append(reports, r)
	}
	return reports
}
