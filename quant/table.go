package quant

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
)

// Legacy calibration tables, for an FP32 file that TensorRT up to 10 quantizes by itself. TensorRT
// 11 has no such mode: there only a file with Q and DQ is quantized. A table goes with fp32.onnx,
// never with a file that has Q and DQ (ONNX Runtime issue 8969).

// entry is one tensor of a table.
type entry struct {
	name      string
	threshold float64
}

func (p *Plan) entries(n *Graph) ([]entry, error) {
	if p.Levels != LevelsS8 {
		return nil, fmt.Errorf("quant: table: TensorRT's codes are signed, the plan has %d levels", p.Levels)
	}
	all := []entry{{n.Sites[Input].Name, max(-p.Picture[0], p.Picture[1])}}
	for i, ch := range p.Choices {
		if n.Sites[i+1].Kind == Squeeze {
			continue // a gate is worked out in higher precision there
		}
		all = append(all, entry{ch.Site, ch.Threshold})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all, nil
}

// ErrNoTextTable says that the names of a network cannot stand in a text table.
var ErrNoTextTable = errors.New("TensorRT's text table cannot be written")

// ErrNoTables says that a version of TensorRT reads no calibration table at all.
var ErrNoTables = errors.New("it quantizes nothing by itself: use int8.trt11.onnx")

// WriteTextTable writes TensorRT's own calibration cache for the given version, such as 10.3: a
// heading, then for each tensor the bits of its scale threshold/127 as a big-endian float32. A name
// may hold colons, as those of TensorFlow do and as TensorRT's own caches have them ("input_1:0:
// 3c010a14"): the last one ends it. A name of more than one line is ErrNoTextTable.
func WriteTextTable(w io.Writer, n *Graph, p *Plan, tensorRT string) error {
	if err := legacy(tensorRT); err != nil {
		return err
	}
	all, err := p.entries(n)
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "TRT-%s-EntropyCalibration2\n", strings.ReplaceAll(tensorRT, ".", ""))
	for _, e := range all {
		if strings.ContainsAny(e.name, "\r\n") {
			return fmt.Errorf("quant: table: the tensor %q has a name of several lines: %w", e.name, ErrNoTextTable)
		}
		fmt.Fprintf(&text, "%s: %08x\n", e.name, math.Float32bits(float32(e.threshold/LevelsS8)))
	}
	_, err = io.WriteString(w, text.String())
	return err
}

// legacy refuses versions of TensorRT that read no table.
func legacy(version string) error {
	head, _, _ := strings.Cut(version, ".")
	major, err := strconv.Atoi(head)
	switch {
	case err != nil:
		return fmt.Errorf("quant: table: %q is no version of TensorRT", version)
	case major >= 11:
		return fmt.Errorf("quant: table: TensorRT %s reads no calibration table: %w", version, ErrNoTables)
	}
	return nil
}

// WriteFlatTable writes the table that ONNX Runtime's TensorRT provider reads with
// trt_int8_calibration_table_name: a flatbuffer of type CalTableFlatBuffers.TrtTable, a vector of
// (key, value) sorted by key, the value being the threshold as decimal text
// (ort_trt_int8_cal_table.fbs.h). It is built front to back; every offset points forward.
func WriteFlatTable(w io.Writer, n *Graph, p *Plan) error {
	all, err := p.entries(n)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	// Root offset, vtable of TrtTable (size 6, table 8, dict at 4), padding; TrtTable: its vtable,
	// dict.
	b := le.AppendUint32(nil, 12)
	b = append(b, 6, 0, 8, 0, 4, 0, 0, 0) // vtable at 4
	b = le.AppendUint32(b, 8)             // table at 12: vtable is 8 before it
	b = le.AppendUint32(b, 4)             // dict: the vector follows at 20
	b = le.AppendUint32(b, uint32(len(all)))
	slots := len(b)
	b = append(b, make([]byte, 4*len(all))...)
	vtable := len(b)
	b = append(b, 8, 0, 12, 0, 4, 0, 8, 0) // of KeyValue: size 8, table 12, key at 4, value at 8
	for i, e := range all {
		table := len(b)
		le.PutUint32(b[slots+4*i:], uint32(table-(slots+4*i)))
		b = le.AppendUint32(b, uint32(table-vtable))
		b = append(b, make([]byte, 8)...)
		for field, text := range []string{e.name, strconv.FormatFloat(e.threshold, 'g', 9, 64)} {
			at := table + 4 + 4*field
			le.PutUint32(b[at:], uint32(len(b)-at))
			b = le.AppendUint32(b, uint32(len(text)))
			b = append(b, text...)
			b = append(b, make([]byte, 4-len(text)%4)...) // a zero at the end, and on to a multiple of 4
		}
	}
	_, err = w.Write(b)
	return err
}
