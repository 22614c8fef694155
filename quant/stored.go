package quant

import (
	"bytes"
	"io"

	"github.com/vggse/vggse-agent/onnx"
)

// stored is the weight of a layer, an output a row, as the CPU file has it: with the channels that
// are added to the picture.
func (n *Graph) stored(l *Layer) *onnx.Tensor {
	w := n.graph.Initializer(l.Weight)
	if l.columns {
		return transposed(w)
	}
	if l.Pad == 0 {
		return w
	}
	out, channels, area := int(w.Dims[0]), int(w.Dims[1]), int(w.Dims[2]*w.Dims[3])
	row, wide := channels*area, (channels+int(l.Pad))*area
	values := make([]float32, out*wide)
	for i := range out * row {
		values[i/row*wide+i%row] = float32(weights(w.Data).at(i))
	}
	t := onnx.NewFloat32(w.Name, values, w.Dims[0], w.Dims[1]+l.Pad, w.Dims[2], w.Dims[3])
	return &t
}

// rows is the weight of a layer, an output a row, without added channels.
func (n *Graph) rows(l *Layer) *onnx.Tensor {
	if l.columns {
		return n.stored(l)
	}
	return n.graph.Initializer(l.Weight)
}

// scaleKey is what the scales of a layer's weight depend on.
type scaleKey struct {
	layer string
	wide  bool // with the channels that are added to the picture
	bits  WeightBits
}

// channelScales are those of the weight of a layer as stored has it (wide) or rows: a search wants them
// for file after file.
func (n *Graph) channelScales(l *Layer, wide bool, bits WeightBits) []float64 {
	key := scaleKey{l.Name, wide, bits}
	n.scalesMu.Lock()
	defer n.scalesMu.Unlock()
	if n.scales[key] == nil {
		w := n.rows(l)
		if wide {
			w = n.stored(l)
		}
		if n.scales == nil {
			n.scales = map[scaleKey][]float64{}
		}
		n.scales[key] = channelScales(w, bits)
	}
	return n.scales[key]
}

// transposed is a matrix with its rows and columns swapped.
func transposed(w *onnx.Tensor) *onnx.Tensor {
	rows, columns := int(w.Dims[0]), int(w.Dims[1])
	values := make([]float32, rows*columns)
	for i := range rows {
		for k := range columns {
			values[k*rows+i] = float32(weights(w.Data).at(i*columns + k))
		}
	}
	t := onnx.NewFloat32(w.Name, values, w.Dims[1], w.Dims[0])
	return &t
}

// codes is a weight in codes in the order of the file; of is what makes them of one whose outputs
// are rows.
func (l *Layer) codes(w *onnx.Tensor, of func(*onnx.Tensor) onnx.Source) onnx.Source {
	if !l.columns {
		return of(w)
	}
	return func(to io.Writer) error {
		var b bytes.Buffer
		if err := of(transposed(w))(&b); err != nil {
			return err
		}
		rows, columns := int(w.Dims[1]), int(w.Dims[0])
		swapped := make([]byte, b.Len())
		for i, v := range b.Bytes() {
			swapped[i%columns*rows+i/columns] = v
		}
		_, err := to.Write(swapped)
		return err
	}
}

// axis is the dimension of a layer's weight that its outputs are counted in.
func (l *Layer) axis() int64 {
	if l.columns {
		return 1
	}
	return 0
}
