package onnx

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unsafe"
)

func (r *reader) value(b []byte, list *[]ValueInfo) error {
	var v ValueInfo
	err := walk(b, func(f field) error {
		switch f.tag {
		case valueName:
			return r.text(&v.Name, f)
		case valueType:
			return walk(f.b, func(f field) error {
				if f.tag == typeTensor {
					return r.tensorType(f.b, &v)
				}
				return r.keep(&v.restType, f)
			})
		}
		return r.keep(&v.rest, f)
	})
	*list = append(*list, v)
	return cmp.Or(err, r.spend(2*int(unsafe.Sizeof(v))))
}

func (r *reader) tensorType(b []byte, v *ValueInfo) error {
	return walk(b, func(f field) error {
		switch f.tag {
		case tensorElem:
			v.Type = DataType(f.v)
		case tensorShape:
			v.Shape = []Dim{}
			return walk(f.b, func(f field) error {
				if f.tag != shapeDim {
					return nil
				}
				var d Dim
				err := walk(f.b, func(f field) error {
					switch f.tag {
					case dimSize:
						d.Size = int64(f.v)
					case dimName:
						return r.text(&d.Name, f)
					}
					return nil
				})
				v.Shape = append(v.Shape, d)
				return cmp.Or(err, r.spend(2*int(unsafe.Sizeof(d))))
			})
		}
		return nil
	})
}

// tensor reads a constant and sees that its content has the length its shape says.
func (r *reader) tensor(b []byte, t *Tensor) error {
	var external []Property
	var loose []byte // content that stands in the file number by number
	isExternal := false
	err := walk(b, func(f field) error {
		switch f.tag {
		case tensorDim, tensorDimsPacked:
			return r.ints(&t.Dims, f)
		case tensorType:
			t.Type = DataType(f.v)
		case tensorName:
			return r.text(&t.Name, f)
		case tensorRaw:
			return content(t, f)
		case tensorFloat, tensorFloatsPacked, tensorDouble, tensorDoublePacked:
			return r.fixed(t, &loose, f)
		case tensorInt32, tensorInt32Packed, tensorInt64, tensorInt64Packed, tensorUint64, tensorUint64Packed:
			return r.numbers(t, &loose, f)
		case tensorExternal:
			return r.property(f, &external)
		case tensorLocation:
			isExternal = f.v == 1
		default:
			return r.keep(&t.rest, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if loose != nil {
		if t.Data != nil {
			return errTwice
		}
		t.Data = loose
	}
	if isExternal {
		if t.Data, err = r.elsewhere(external); err != nil {
			return err
		}
	}
	if want := t.Bytes(); t.Type.Width() > 0 && int64(len(t.Data)) != want || want < 0 {
		return fmt.Errorf("shape %v of %v wants %d bytes, the file has %d", t.Dims, t.Type, want, len(t.Data))
	}
	return r.spend(2 * int(unsafe.Sizeof(*t)))
}

// elsewhere finds the content of a tensor that lies in another file.
func (r *reader) elsewhere(where []Property) ([]byte, error) {
	var name string
	offset, length := int64(0), int64(-1)
	for _, p := range where {
		var err error
		switch p.Key {
		case "location":
			name = p.Value
		case "offset":
			offset, err = strconv.ParseInt(p.Value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(p.Value, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("external data: %s %q is not a number", p.Key, p.Value)
		}
	}
	return r.external.slice(name, offset, length)
}

// fixed takes float_data or double_data: their packed form is the content itself.
func (r *reader) fixed(t *Tensor, loose *[]byte, f field) error {
	switch f.tag & 7 {
	case delimited:
		return content(t, f)
	case fixed32:
		*loose = binary.LittleEndian.AppendUint32(*loose, uint32(f.v))
	default:
		*loose = binary.LittleEndian.AppendUint64(*loose, f.v)
	}
	return r.spend(16)
}

// numbers takes int32_data, int64_data or uint64_data, which hold narrower types, too. Of a type
// that is not unpacked they are carried along.
func (r *reader) numbers(t *Tensor, loose *[]byte, f field) error {
	width := int(t.Type.Width())
	if width == 0 {
		return r.keep(&t.rest, f)
	}
	return varints(f, func(v uint64) error {
		var le [8]byte
		binary.LittleEndian.PutUint64(le[:], v)
		*loose = append(*loose, le[:width]...)
		return r.spend(3 * width)
	})
}

// content sets what a tensor holds, without a copy and without room to append into the file.
func content(t *Tensor, f field) error {
	if t.Data != nil {
		return errTwice
	}
	t.Data = f.b[:len(f.b):len(f.b)]
	return nil
}

// floats appends the numbers of a repeated float field.
func (r *reader) floats(list *[]float32, f field) error {
	if f.tag&7 == fixed32 {
		*list = append(*list, math.Float32frombits(uint32(f.v)))
		return r.spend(12)
	}
	if len(f.b)%4 != 0 {
		return errDamaged
	}
	if err := r.spend(3 * len(f.b)); err != nil {
		return err
	}
	for b := f.b; len(b) > 0; b = b[4:] {
		*list = append(*list, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return nil
}
