package quant

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/model"
	"github.com/vggse/vggse-agent/onnx"
)

// CompareLayers runs the FP32 network and that of plan side by side, all sites as outputs, and returns how
// far each is off. It writes two files into dir and removes them. again makes next start over.
func CompareLayers(ctx context.Context, rt Runtime, m *onnx.Model, n *Network, plan *Plan, dir string, size int, next Next, again func()) ([]LayerReport, error) {
	own, err := EmitCPU(m, n, plan)
	if err != nil {
		return nil, err
	}
	var sites []Site
	var names, rounded []string
	for _, s := range n.Sites[1:] {
		if plan.rounds(own, s.Name) {
			sites, names, rounded = append(sites, s), append(names, s.Name), append(rounded, s.Name+"/dq")
		}
	}
	power, noise := make([]float64, len(sites)), make([]float64, len(sites))
	again()
	a, closeA, err := probeOf(ctx, rt, m, filepath.Join(dir, "layers.fp32.onnx"), names)
	if err != nil {
		return nil, err
	}
	defer closeA()
	b, closeB, err := probeOf(ctx, rt, own, filepath.Join(dir, "layers.int8.onnx"), rounded)
	if err != nil {
		return nil, err
	}
	defer closeB()
	t := model.NewTensor(1, 3, size, size)
	kept := make([][]float32, len(sites))
	for {
		if err := next(ctx, t); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if err := a.Run(ctx, t, func(i int, v []float32) { kept[i] = append(kept[i][:0], v...) }); err != nil {
			return nil, err
		}
		err := b.Run(ctx, t, func(i int, v []float32) {
			for k, x := range kept[i] {
				d := float64(x - v[k])
				power[i] += float64(x) * float64(x)
				noise[i] += d * d
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return plan.layerReports(n, sites, power, noise), nil
}

// rounds tells whether the emitted graph has the site in 8 bits.
func (p *Plan) rounds(own *onnx.Model, site string) bool {
	for _, v := range own.Graph.Nodes {
		if v.OpType == "DequantizeLinear" && v.Outputs[0] == site+"/dq" {
			return true
		}
	}
	return false
}

func (p *Plan) layerReports(n *Network, sites []Site, power, noise []float64) []LayerReport {
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
		r := LayerReport{Layer: s.Layer, SQNR: SQNR(power[i], noise[i]), Alone: alone[s.Name], Precision: precision[s.Layer]}
		if r.Precision == "" {
			r.Precision = "int8"
		}
		reports = append(reports, r)
	}
	return reports
}

// probeOf writes m with the given outputs to path and loads it; the returned function undoes both.
func probeOf(ctx context.Context, rt Runtime, m *onnx.Model, path string, outputs []string) (Session, func(), error) {
	err := model.WriteFile(path, func(w io.Writer) error { return WriteProbe(w, m, outputs) })
	if err != nil {
		return nil, nil, err
	}
	s, err := rt.Open(ctx, path, Options{Outputs: outputs})
	if err != nil {
		os.Remove(path)
		return nil, nil, err
	}
	return s, func() { s.Close(); os.Remove(path) }, nil
}
