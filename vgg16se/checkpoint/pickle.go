package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A pickle is a program for a small stack machine (Python's pickletools documents its opcodes).
// This machine builds data only: what Python would call, it looks up in the closed list of
// globals.go.

var (
	errPickle  = errors.New("damaged: its pickle ends early or makes no sense")
	errTooMuch = fmt.Errorf("its structure takes more than %d MB: not a checkpoint of a classifier", heapLimit>>20)
)

// The values on the stack are nil, bool, int64, float64, string (bytes, too), tuple, *list, *dict,
// global, storage, *tensor, opaque, and mark.
type (
	tuple  []any
	list   struct{ items []any }
	global string              // module.name of something
	opaque struct{ of global } // what a call gave that is not looked into; of an unknown name, else ""
	mark   struct{}
)

// dict keeps its entries in order; only string keys can be found again.
type dict struct {
	keys, values []any
	index        map[string]int
}

func (d *dict) set(key, value any) {
	if s, ok := key.(string); ok {
		if i, ok := d.index[s]; ok {
			d.values[i] = value
			return
		}
		if d.index == nil {
			d.index = map[string]int{}
		}
		d.index[s] = len(d.keys)
	}
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}

func (d *dict) get(key string) any {
	if i, ok := d.index[key]; ok {
		return d.values[i]
	}
	return nil
}

// machine runs one pickle.
type machine struct {
	b      []byte // what is left of the program
	stack  []any
	memo   map[uint64]any
	budget int64

	storages map[string]*storage // everything that a persistent id named
	stranger global              // the first name that this reader does not know, "" where it knows all
}

// unpickle runs the program at the start of b; of the machine that it returns, b is what follows.
func unpickle(b []byte) (result any, m *machine, err error) {
	m = &machine{b: b, memo: map[uint64]any{}, budget: heapLimit, storages: map[string]*storage{}}
	for {
		op, err := m.take(1)
		if err != nil {
			return nil, m, err
		}
		if op[0] == '.' {
			v, err := m.pop()
			return v, m, err
		}
		if err := m.step(op[0]); err != nil {
			return nil, m, err
		}
	}
}

// take returns the next n bytes of the program.
func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.b)) {
		return nil, errPickle
	}
	b := m.b[:n]
	m.b = m.b[n:]
	return b, nil
}

// number reads an unsigned little-endian number of n bytes.
func (m *machine) number(n uint64) (uint64, error) {
	b, err := m.take(n)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

func (m *machine) spend(n int) error {
	if m.budget -= int64(n); m.budget < 0 {
		return errTooMuch
	}
	return nil
}

func (m *machine) push(v any) error {
	m.stack = append(m.stack, v)
	return m.spend(24)
}

// pop takes a value off the stack; a mark is none.
func (m *machine) pop() (any, error) {
	n := len(m.stack)
	if n == 0 || m.stack[n-1] == (any)(mark{}) {
		return nil, errPickle
	}
	v := m.stack[n-1]
	m.stack = m.stack[:n-1]
	return v, nil
}

// top is the value that the next pop would take.
func (m *machine) top() (any, error) {
	v, err := m.pop()
	if err == nil {
		m.stack = m.stack[:len(m.stack)+1]
	}
	return v, err
}

// popMark takes everything above the last mark off the stack, and the mark; valid until the next
// push.
func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			items := m.stack[i+1:]
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, errPickle
}

// step runs one opcode.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := m.number(1)
		if err == nil && v < 2 || v > 5 {
			err = fmt.Errorf("pickle protocol %d: save with torch.save's own (2 to 5)", v)
		}
		return err
	case 0x95: // FRAME
		_, err := m.take(8)
		return err
	case '(':
		return m.push(mark{})
	case '0', '1':
		var err error
		if op == '0' {
			_, err = m.pop()
		} else {
			_, err = m.popMark()
		}
		return err
	case '2':
		v, err := m.top()
		if err != nil {
			return err
		}
		return m.push(v)
	case 'N', 0x88, 0x89, 'J', 'K', 'M', 0x8a, 0x8b, 'G':
		return m.literal(op)
	case 'X', 0x8c, 0x8d, 'T', 'U', 'B', 'C', 0x8e:
		return m.text(op)
	case ']', '}', ')', 0x8f, 't', 0x85, 0x86, 0x87, 0x91:
		return m.collect(op)
	case 'a', 'e', 's', 'u', 0x90:
		return m.fill(op)
	case 'h', 'j', 'q', 'r', 0x94:
		return m.remember(op)
	case 'c', 0x93, 'R', 0x81, 0x92, 'b', 'Q':
		return m.call(op)
	}
	return fmt.Errorf("damaged, or not saved by PyTorch: opcode %#x in its pickle", op)
}

// literal pushes a constant.
func (m *machine) literal(op byte) error {
	switch op {
	case 'N':
		return m.push(nil)
	case 0x88, 0x89:
		return m.push(op == 0x88)
	case 'G':
		b, err := m.take(8)
		if err != nil {
			return err
		}
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 0x8a, 0x8b:
		n, err := m.number(map[byte]uint64{0x8a: 1, 0x8b: 4}[op])
		if err != nil {
			return err
		}
		return m.long(n)
	}
	width := map[byte]uint64{'J': 4, 'K': 1, 'M': 2}[op]
	v, err := m.number(width)
	if err != nil {
		return err
	}
	if op == 'J' {
		return m.push(int64(int32(v)))
	}
	return m.push(int64(v))
}

// long pushes an integer of n bytes in two's complement; one that is too long for int64 becomes
// the string of its bytes, which nothing but the legacy format's magic number is.
func (m *machine) long(n uint64) error {
	if n > 8 {
		return m.str(n)
	}
	v, err := m.number(n)
	if err != nil {
		return err
	}
	shift := 64 - 8*n // of n = 0, the number 0, everything goes
	return m.push(int64(v<<shift) >> shift)
}

// text pushes a string: its length stands before it in 1, 4 or 8 bytes.
func (m *machine) text(op byte) error {
	width := map[byte]uint64{0x8c: 1, 'U': 1, 'C': 1, 0x8d: 8, 0x8e: 8}[op]
	if width == 0 {
		width = 4
	}
	n, err := m.number(width)
	if err != nil {
		return err
	}
	return m.str(n)
}

func (m *machine) str(n uint64) error {
	b, err := m.take(n)
	if err == nil {
		err = m.spend(len(b))
	}
	if err != nil {
		return err
	}
	return m.push(string(b))
}

// remember puts the top of the stack into the memo, or a value of the memo on the stack.
func (m *machine) remember(op byte) error {
	n := uint64(len(m.memo)) // MEMOIZE
	if width := map[byte]uint64{'h': 1, 'q': 1, 'j': 4, 'r': 4}[op]; width > 0 {
		var err error
		if n, err = m.number(width); err != nil {
			return err
		}
	}
	if op == 'h' || op == 'j' {
		v, ok := m.memo[n]
		if !ok {
			return errPickle
		}
		return m.push(v)
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	m.memo[n] = v
	return m.spend(64)
}

// line reads up to the next line feed.
func (m *machine) line() (string, error) {
	i := bytes.IndexByte(m.b[:min(len(m.b), 1000)], '\n')
	if i < 0 {
		return "", errPickle
	}
	b, err := m.take(uint64(i) + 1)
	return string(b[:len(b)-1]), err
}
