package onnx

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// heapLimit bounds what the structure of a model (names, nodes, attributes) may take of the heap,
// about; the largest classifiers of torchvision stay below 1 MB. A hostile file repeats empty
// nodes.
const heapLimit = 16 << 20

var (
	errDamaged = errors.New("not an ONNX file, or damaged: a field runs past its end")
	errTooMuch = fmt.Errorf("its graph takes more than %d MB: not an image classifier", heapLimit>>20)
	errTwice   = errors.New("its content is stored twice")
	errTooDeep = errors.New("graphs nested too deeply")
)

// field is one protobuf field: tag is number << 3 | wire type; v holds a number, b a delimited
// value, and raw both with the tag in front.
type field struct {
	tag    uint64
	v      uint64
	b, raw []byte
}

// rest collects fields that this package carries along without reading them.
type rest [][]byte

// reader walks one file.
type reader struct {
	budget   int64
	depth    int
	external *folder
}

// spend takes n bytes from the heap budget.
func (r *reader) spend(n int) error {
	if r.budget -= int64(n); r.budget < 0 {
		return errTooMuch
	}
	return nil
}

// text copies a string out of the file.
func (r *reader) text(s *string, f field) error {
	if err := r.spend(len(f.b)); err != nil {
		return err
	}
	*s = string(f.b)
	return nil
}

// texts appends a copy of a string.
func (r *reader) texts(list *[]string, f field) error {
	if err := r.spend(len(f.b) + 48); err != nil {
		return err
	}
	*list = append(*list, string(f.b))
	return nil
}

// keep adds a field that was not read to l.
func (r *reader) keep(l *rest, f field) error {
	*l = append(*l, f.raw)
	return r.spend(72)
}

// walk calls each for every field of a message.
func walk(b []byte, each func(field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errDamaged
		}
		f := field{tag: uint64(num)<<3 | uint64(typ)}
		var m int
		switch typ {
		case protowire.VarintType:
			f.v, m = protowire.ConsumeVarint(b[n:])
		case protowire.Fixed32Type:
			var v uint32
			v, m = protowire.ConsumeFixed32(b[n:])
			f.v = uint64(v)
		case protowire.Fixed64Type:
			f.v, m = protowire.ConsumeFixed64(b[n:])
		case protowire.BytesType:
			f.b, m = protowire.ConsumeBytes(b[n:])
		default:
			m = protowire.ConsumeFieldValue(num, typ, b[n:])
		}
		if m < 0 {
			return errDamaged
		}
		f.raw = b[:n+m]
		if err := each(f); err != nil {
			return err
		}
		b = b[n+m:]
	}
	return nil
}

// varints calls each for every number of a repeated field, packed or not.
func varints(f field, each func(uint64) error) error {
	if f.tag&7 == varint {
		return each(f.v)
	}
	for b := f.b; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return errDamaged
		}
		if err := each(v); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// ints appends the numbers of a repeated field.
func (r *reader) ints(list *[]int64, f field) error {
	return varints(f, func(v uint64) error {
		*list = append(*list, int64(v))
		return r.spend(24)
	})
}
