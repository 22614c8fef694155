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

	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// CompareLayers runs the FP32 network and that of plan side by side, all sites as outputs, and
// returns how far each is off. It writes two files into dir and removes them. again makes next
// start over.
func CompareLayers(ctx context.Context, rt infer.Prober, m *onnx.Model, n *Graph, plan *Plan, dir string, size int,
	next Next, again func()) ([]LayerReport, error) {
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
	power, noise := make([]float64, len(sites)), make([]float64, len(sites))
	float, integer := filepath.Join(dir, "layers.fp32.onnx"), filepath.Join(dir, "layers.int8.onnx")
	defer os.Remove(float)
	defer os.Remove(integer)
	err = errors.Join(atomicfile.WriteScratch(float, func(w io.Writer) error { return WriteProbe(w, m, names) }),
		atomicfile.WriteScratch(integer, func(w io.Writer) error { return WriteProbe(w, own, rounded) }))
	if own = nil; err != nil {
		return nil, err
	}
	again()
	for more := true; more; {
		var kept [][]float32
		var pictures []*vision.Tensor
		err := with(ctx, rt, m, float, names, func(s *infer.Probe) error {
			var err error
			pictures, kept, more, err = keep(ctx, s, next, size)
			return err
		})
		if err == nil && len(pictures) > 0 {
			err = with(ctx, rt, m, integer, rounded, func(s *infer.Probe) error {
				for _, t := range pictures {
					err := s.Run(ctx, t, func(i int, v []float32) {
						p, d := differences(kept[i], v, sites[i].Floor)
						power[i], noise[i] = power[i]+p, noise[i]+d
					})
					if err != nil {
						return err
					}
					kept = kept[len(sites):]
				}
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return plan.layerReports(n, sites, power, noise), nil
}

// keep reads pictures and runs s on them, as many as there is room for; kept are the values of the
// sites, picture by picture, and more is whether there are pictures left.
func keep(ctx context.Context, s *infer.Probe, next Next, size int) (pictures []*vision.Tensor, kept [][]float32,
	more bool, err error) {
	for bytes := 0; bytes < keptBytes; {
		t := vision.NewTensor(1, 3, size, size)
		switch err := next(ctx, t); {
		case errors.Is(err, io.EOF):
			return pictures, kept, false, nil
		case err != nil:
			return nil, nil, false, err
		}
		pictures = append(pictures, t)
		err := s.Run(ctx, t, func(_ int, v []float32) {
			kept = append(kept, slices.Clone(v))
			bytes += 4 * len(v)
		})
		if err != nil {
			return nil, nil, false, err
		}
	}
	return pictures, kept, true, nil
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
