package quant

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/vggse/vggse-agent/onnx"
)

// equalizeMost is the largest factor of Equalize, as a power of two.
const equalizeMost = 4

// scaling is what Equalize does to one constant: row o times 2^rows[o], column i times
// 2^cols[i/area].
type scaling struct {
	rows, cols []int
	area       int
}

// column is a constant whose columns read a tensor's channels, each area columns wide.
type column struct {
	weight string
	area   int
}

// Equalize returns a network with the same answers as m's, bit for bit, whose channels differ less
// in range: cross-layer equalization (Nagel et al. 2019) with powers of two as factors, so that
// nothing is rounded. Where a tensor goes through a squeeze-excitation block the group has three
// members: the rows and biases of the layer before times s, and both the columns of the squeeze's
// first matrix and those of the next layers over s. That is exact, as the mean of s·x is s times
// the mean of x, and the gate stays what it was. The number of groups is returned too; peaks are
// those of c. The model's constants are written from m's when it is written.
func Equalize(m *onnx.Model, n *Graph, c *Collection) (*onnx.Model, int) {
	change, groups := map[string]*scaling{}, 0
	of := func(name string) *scaling {
		if change[name] == nil {
			change[name] = &scaling{area: 1}
		}
		return change[name]
	}
	for i := range n.Layers {
		l := &n.Layers[i]
		w, peaks := n.graph.Initializer(l.Weight), c.Stats[l.Relu].Peaks
		columns, ok := n.columns(l.Relu, 1)
		if l.Relu == "" || l.clipped || l.columns || !ok || len(columns) == 0 || int64(len(peaks)) != w.Dims[0] {
			continue
		}
		powers := n.powers(peaks, columns)
		of(l.Weight).rows = powers
		if l.Bias != "" {
			of(l.Bias).rows = powers
		}
		for _, col := range columns {
			s := of(col.weight)
			s.cols, s.area = make([]int, len(powers)), col.area
			for k, p := range powers {
				s.cols[k] = -p
			}
		}
		groups++
	}
	out := *m
	out.Graph.Initializers = make([]onnx.Tensor, len(m.Graph.Initializers))
	for i, t := range m.Graph.Initializers {
		if s := change[t.Name]; s != nil {
			data := t.Data
			t = onnx.Tensor{Name: t.Name, Type: t.Type, Dims: t.Dims}
			t.Source = s.source(data, t.Dims)
		}
		out.Graph.Initializers[i] = t
	}
	return &out, groups
}

// columns are all constants that read the channels of a tensor, through pools, a flatten, and the
// block that multiplies it with a gate made of itself. It is false where something else reads it.
func (n *Graph) columns(tensor string, area int) (all []column, ok bool) {
	for _, u := range n.users[tensor] {
		v := &n.graph.Nodes[u]
		var more []column
		ok := true
		switch v.OpType {
		case "MaxPool", "AveragePool", "GlobalAveragePool":
			more, ok = n.columns(v.Outputs[0], area)
		case "Flatten":
			more, ok = n.columns(v.Outputs[0], 0) // as many columns a channel as there turn out to be
		case "Conv", "Gemm":
			if ok = n.plainColumns(v, tensor); ok {
				more = []column{{v.Inputs[1], area}}
			}
		case "Mul":
			gate := v.Inputs[0]
			if gate == tensor {
				gate = v.Inputs[1]
			}
			if ok = n.fromSigmoid(gate); ok {
				more, ok = n.columns(v.Outputs[0], area)
			}
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
		all = append(all, more...)
	}
	return all, !n.output(tensor)
}

// plainColumns tells whether v reads the tensor with a float32 constant whose second dimension is
// the tensor's channels.
func (n *Graph) plainColumns(v *onnx.Node, tensor string) bool {
	w := n.graph.Initializer(v.Inputs[1])
	if v.Inputs[0] != tensor || w == nil || w.Type != onnx.Float32 || len(w.Dims) < 2 || len(w.Data) == 0 ||
		len(n.users[w.Name]) != 1 {
		return false
	}
	if v.OpType == "Gemm" {
		a := v.Attribute("transB")
		return a != nil && a.Int == 1 && v.Attribute("transA") == nil
	}
	g := v.Attribute("group")
	return g == nil || g.Int == 1
}

// powers are the factors for channels of the given peaks, as powers of two around their mean:
// half-way between what would make all activations alike and what would make all columns alike. A
// channel that is always 0 stays.
func (n *Graph) powers(peaks []float32, columns []column) []int {
	ratios, sum, alive := make([]float64, len(peaks)), 0.0, 0
	for i := range columns {
		if columns[i].area == 0 {
			columns[i].area = max(1, int(n.graph.Initializer(columns[i].weight).Dims[1])/len(peaks))
		}
	}
	for k, peak := range peaks {
		largest := 0.0
		for _, col := range columns {
			if len(n.users[col.weight]) == 1 && n.site[n.graph.Nodes[n.users[col.weight][0]].Inputs[0]] > 0 {
				largest = max(largest, n.columnPeak(col, k))
			}
		}
		if peak > 0 && largest > 0 {
			ratios[k] = math.Log2(largest/float64(peak)) / 2
			sum += ratios[k]
			alive++
		}
	}
	powers := make([]int, len(peaks))
	for k, r := range ratios {
		if r != 0 {
			powers[k] = int(max(-equalizeMost, min(equalizeMost, math.RoundToEven(r-sum/float64(alive)))))
		}
	}
	return powers
}

// columnPeak is the largest weight that reads channel k.
func (n *Graph) columnPeak(col column, k int) float64 {
	w, largest := n.graph.Initializer(col.weight), 0.0
	rest := 1
	for _, d := range w.Dims[2:] {
		rest *= int(d)
	}
	row, width := int(w.Dims[1])*rest, col.area*rest
	for o := range int(w.Dims[0]) {
		for i := range width {
			largest = max(largest, math.Abs(weights(w.Data).at(o*row+k*width+i)))
		}
	}
	return largest
}

// source writes the constant with its rows and columns scaled.
func (s *scaling) source(data []byte, dims []int64) onnx.Source {
	row, rest := 1, 1
	for i, d := range dims[1:] {
		row *= int(d)
		if i > 0 {
			rest *= int(d)
		}
	}
	return func(w io.Writer) error {
		buf := make([]byte, 0, 4*row)
		for o := range int(dims[0]) {
			buf = buf[:0]
			for i := range row {
				power := 0
				if s.rows != nil {
					power += s.rows[o]
				}
				if s.cols != nil {
					power += s.cols[i/rest/s.area]
				}
				v := weights(data).at(o*row + i)
				if power != 0 {
					v = math.Ldexp(v, power)
				}
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(float32(v)))
			}
			if _, err := w.Write(buf); err != nil {
				return fmt.Errorf("quant: equalize: %w", err)
			}
		}
		return nil
	}
}
