package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/onnx"
)

// The format (huggingface/safetensors, Apache-2.0): 8 bytes length of the header, little-endian;
// the header, a JSON object of tensors; the data.

// maxHeader bounds the header; 4 MB describe some 40,000 tensors.
const maxHeader = 4 << 20

var safetensorsTypes = map[string]onnx.DataType{
	"F64": onnx.Float64, "F32": onnx.Float32, "F16": onnx.Float16, "BF16": onnx.BFloat16,
	"I64": onnx.Int64, "I32": onnx.Int32, "I16": onnx.Int16, "I8": onnx.Int8,
	"U64": onnx.Uint64, "U32": onnx.Uint32, "U16": onnx.Uint16, "U8": onnx.Uint8, "BOOL": onnx.Bool,
}

type entry struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

func parseSafetensors(b []byte) (*File, error) {
	if len(b) < 8 {
		return nil, errFormat
	}
	n := binary.LittleEndian.Uint64(b)
	switch {
	case n > uint64(len(b)-8):
		return nil, fmt.Errorf("truncated or damaged: a header of %d bytes in a file of %d", n, len(b))
	case n > maxHeader:
		return nil, fmt.Errorf("a header of %d bytes, more than the %d that this reader takes", n, maxHeader)
	}
	f := &File{Format: Safetensors}
	data := b[8+n:]
	dec := json.NewDecoder(bytes.NewReader(b[8 : 8+n]))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("damaged: its header is not a JSON object")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("damaged header: %w", err)
		}
		if name == "__metadata__" {
			err = dec.Decode(&f.Metadata)
		} else {
			err = f.safetensor(name.(string), dec, data)
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("damaged header: %w", err)
	}
	return f, f.whole(int64(len(data)))
}

// whole refuses tensors that share bytes, and bytes that belong to none, as the format does.
func (f *File) whole(size int64) error {
	slices.SortFunc(f.spans, func(a, b [2]int64) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	end := int64(0)
	for _, s := range f.spans {
		if s[0] != end {
			return fmt.Errorf("damaged: a tensor begins at byte %d of the data, the one before it ends at %d", s[0],
				end)
		}
		end = s[1]
	}
	if end != size {
		return fmt.Errorf("damaged: its tensors end at byte %d of the data, the file goes on to %d", end, size)
	}
	return nil
}

// safetensor reads one entry of the header.
func (f *File) safetensor(name string, dec *json.Decoder, data []byte) error {
	var e entry
	if err := dec.Decode(&e); err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	kind, ok := safetensorsTypes[e.Type]
	if !ok {
		return fmt.Errorf("tensor %q: elements of %q are not supported", name, e.Type)
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from < 0 || to < from || to > int64(len(data)) {
		return fmt.Errorf("tensor %q: bytes %d to %d of %d: the file is truncated or damaged", name, from, to,
			len(data))
	}
	t := Tensor{Name: name, Type: kind, Shape: e.Shape, data: data[from:to]}
	if f.names == nil {
		f.names = map[string]bool{}
	}
	if f.names[name] {
		return fmt.Errorf("tensor %q is in it twice: the file is damaged", name)
	}
	f.names[name] = true
	if err := t.check(); err != nil {
		return err
	}
	if want := t.Elements() * kind.Width(); want != to-from {
		return fmt.Errorf("tensor %q: shape %v of %v wants %d bytes, the file has %d", name, e.Shape, kind, want,
			to-from)
	}
	f.Tensors, f.spans = append(f.Tensors, t), append(f.spans, e.Offsets)
	return nil
}

// Out is a float32 tensor to be written: Source writes its content as onnx.Source does.
type Out struct {
	Name   string
	Shape  []int64
	Source onnx.Source
	Half   bool // float16, as Halves gives it; else float32
}

// WriteSafetensors writes tensors in the given order; the same tensors give the same bytes.
func WriteSafetensors(w io.Writer, tensors []Out, metadata map[string]string) error {
	entries := make([]string, 0, len(tensors)+1)
	add := func(key string, v any) error {
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		text, err := json.Marshal(v)
		entries = append(entries, string(k)+":"+string(text))
		return err
	}
	var err error
	if len(metadata) > 0 {
		err = add("__metadata__", metadata)
	}
	at := int64(0)
	for _, t := range tensors {
		kind, name := onnx.Float32, "F32"
		if t.Half {
			kind, name = onnx.Float16, "F16"
		}
		size := (&onnx.Tensor{Type: kind, Dims: t.Shape}).Bytes()
		err = cmp.Or(err, add(t.Name, entry{name, append([]int64{}, t.Shape...), [2]int64{at, at + size}}))
		at += size
	}
	if err != nil {
		return fmt.Errorf("checkpoint: write safetensors: %w", err)
	}
	header := "{" + strings.Join(entries, ",") + "}"
	header += strings.Repeat(" ", -len(header)&7)
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)); err != nil {
		return fmt.Errorf("checkpoint: write safetensors: %w", err)
	}
	for _, t := range tensors {
		if err := t.Source(w); err != nil {
			return fmt.Errorf("checkpoint: write safetensors: tensor %q: %w", t.Name, err)
		}
	}
	return nil
}
