package importer

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/vggse/vggse-agent/onnx"
)

// checkNumbers makes every constant of a graph refuse, while it is written, to be NaN, and every
// weight of a layer to be infinite: each is seen once anyway.
func checkNumbers(m *onnx.Model) {
	infinite := map[string]bool{} // constants of other operators may be: a mask holds −Inf
	for _, n := range m.Graph.Nodes {
		for _, t := range n.Inputs {
			infinite[t] = infinite[t] || !weighted[n.OpType]
		}
	}
	for i := range m.Graph.Initializers {
		t := &m.Graph.Initializers[i]
		if t.Type != onnx.Float32 && t.Type != onnx.Float16 && t.Type != onnx.Float64 && t.Type != onnx.BFloat16 {
			continue
		}
		name, kind, source, data, also := t.Name, t.Type, t.Source, t.Data, infinite[t.Name]
		t.Source = func(w io.Writer) error {
			checked := &numbers{to: w, name: name, kind: kind, infinite: also}
			if source != nil {
				return source(checked)
			}
			_, err := checked.Write(data)
			return err
		}
	}
}

// weighted are the operators whose constants are weights that were trained.
var weighted = map[string]bool{"Conv": true, "ConvTranspose": true, "Gemm": true, "MatMul": true,
	"BatchNormalization": true}

// weightError is a weight that is no number.
type weightError struct{ what string }

func (e *weightError) Error() string { return e.what }

// numbers looks at the numbers that are written through it.
type numbers struct {
	to       io.Writer
	name     string
	kind     onnx.DataType
	infinite bool // allowed
	rest     [8]byte
	held     int // bytes in rest: of a number that came in parts
}

func (c *numbers) Write(b []byte) (int, error) {
	left, width := b, int(c.kind.Width())
	for c.held > 0 && len(left) > 0 {
		c.rest[c.held] = left[0]
		left = left[1:]
		if c.held++; c.held == width {
			c.held = 0
			if err := c.see(c.rest[:width]); err != nil {
				return 0, err
			}
		}
	}
	for ; len(left) >= width; left = left[width:] {
		if err := c.see(left[:width]); err != nil {
			return 0, err
		}
	}
	c.held += copy(c.rest[c.held:], left)
	return c.to.Write(b)
}

// beyond is the power of two from which on a number is no weight that was ever trained: about 1e15.
const beyond = 50

// see refuses one number. Its exponent tells: all ones is infinity, or with a fraction NaN.
func (c *numbers) see(b []byte) error {
	var exponent, fraction, large bool
	switch c.kind {
	case onnx.Float32:
		v := binary.LittleEndian.Uint32(b)
		exponent, fraction, large = v&0x7f800000 == 0x7f800000, v&0x7fffff != 0, v>>23&0xff >= 127+beyond
	case onnx.Float64:
		v := binary.LittleEndian.Uint64(b)
		exponent, fraction, large = v&(0x7ff<<52) == 0x7ff<<52, v&(1<<52-1) != 0, v>>52&0x7ff >= 1023+beyond
	case onnx.Float16:
		v := binary.LittleEndian.Uint16(b)
		exponent, fraction = v&0x7c00 == 0x7c00, v&0x3ff != 0
	default:
		v := binary.LittleEndian.Uint16(b)
		exponent, fraction, large = v&0x7f80 == 0x7f80, v&0x7f != 0, v>>7&0xff >= 127+beyond
	}
	switch {
	case exponent && fraction:
		return &weightError{fmt.Sprintf("%s holds NaN: the weights are damaged, or were never trained", c.name)}
	case exponent && !c.infinite:
		return &weightError{fmt.Sprintf("%s holds infinity: the weights are damaged", c.name)}
	case large && !c.infinite:
		return &weightError{fmt.Sprintf("%s holds numbers above 1e15: the weights are damaged, or training diverged",
			c.name)}
	}
	return nil
}
