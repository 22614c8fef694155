package quant

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/onnx"
)

// storedFrom is how many bytes of weights are worth keeping.
const storedFrom = 1 << 20

// weightStore keeps weights in 8 bits that were made once: trial after trial of a network has the
// same ones. They lie in a file without a name, as many bytes as the network has weights for each
// kind of codes. It is not for several goroutines at a time.
type weightStore struct {
	of   *onnx.Model // whose weights there are
	file *os.File    // nil: nothing is kept yet
	end  int64
	at   map[[sha256.Size]byte]int64 // by name and scales
}

// keep lets m, made of the network of, take its weights out of the store, and those that are not there
// put them into it. The weights of another network than the last one's are let go.
func (s *weightStore) keep(dir string, of, m *onnx.Model) error {
	if s.of != of {
		if err := s.Close(); err != nil {
			return err
		}
		f, err := os.CreateTemp(dir, "weights")
		if err == nil {
			err = os.Remove(f.Name())
		}
		if err != nil {
			return fmt.Errorf("keep weights in %s: %w", dir, err)
		}
		*s = weightStore{of: of, file: f, at: map[[sha256.Size]byte]int64{}}
	}
	scales := map[string]string{}
	for i := range m.Graph.Nodes {
		if v := &m.Graph.Nodes[i]; v.OpType == "DequantizeLinear" && len(v.Inputs) > 1 {
			scales[v.Inputs[0]] = v.Inputs[1]
		}
	}
	for i := range m.Graph.Initializers {
		t := &m.Graph.Initializers[i]
		by := m.Graph.Initializer(scales[t.Name])
		if t.Type != onnx.Int8 || t.Source == nil || t.Bytes() < storedFrom || by == nil || by.Source != nil {
			continue
		}
		key := sha256.New()
		fmt.Fprintf(key, "%s\x00", t.Name)
		key.Write(by.Data)
		t.Source = s.source([sha256.Size]byte(key.Sum(nil)), t.Bytes(), t.Source)
	}
	return nil
}

// source is made, or what it has put out before.
func (s *weightStore) source(key [sha256.Size]byte, size int64, made onnx.Source) onnx.Source {
	return func(w io.Writer) error {
		if at, known := s.at[key]; known {
			_, err := io.CopyBuffer(struct{ io.Writer }{w}, io.NewSectionReader(s.file, at, size),
				make([]byte, storedFrom))
			return err
		}
		at := s.end
		if err := made(io.MultiWriter(w, io.NewOffsetWriter(s.file, at))); err != nil {
			return err
		}
		s.at[key], s.end = at, at+size
		return nil
	}
}

// Close frees what is kept; the store is then as new.
func (s *weightStore) Close() error {
	f := s.file
	*s = weightStore{}
	if f == nil {
		return nil
	}
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("keep weights in %s: %w", filepath.Dir(f.Name()), err)
	}
	return nil
}
