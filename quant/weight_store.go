package quant

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/onnx"
)

const (
	// weightsFile is where the weights of trials lie, beside them.
	weightsFile = "trial.weights"
	// storedFrom is how many bytes of weights are worth keeping.
	storedFrom = 64 << 10
	// storedAt is what places in the file are multiples of: ONNX Runtime maps whole pages.
	storedAt = 4096
)

// weightStore holds the weights that trials of a network have in common, in 8 bits and in float, as
// external data of their files: none is made, written, or read in twice. It takes at most as many
// bytes as the network in float and one in 8 bits for each kind of codes. It is not for several
// goroutines at a time.
type weightStore struct {
	of   *onnx.Model // whose weights there are
	file *os.File    // nil: nothing is kept yet
	end  int64
	at   map[[sha256.Size]byte]int64
}

// keep takes the large weights out of m, a model made of the network of, that will be written to the
// folder dir. The weights of another network than the last one's are let go: no file that needs them
// may be there any more.
func (s *weightStore) keep(dir string, of, m *onnx.Model) error {
	if s.of != of {
		if err := s.Close(); err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(dir, weightsFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("keep weights: %w", err)
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
		if t.Bytes() < storedFrom {
			continue
		}
		key := sha256.New()
		fmt.Fprintf(key, "%s\x00", t.Name)
		switch {
		case t.Type == onnx.Int8 && t.Source != nil: // what they are is a matter of the scales
			by := m.Graph.Initializer(scales[t.Name])
			if by == nil || by.Source != nil {
				continue
			}
			key.Write(by.Data)
		case t.Type == onnx.Float32 && same(t, of.Graph.Initializer(t.Name)):
		default:
			continue
		}
		at, err := s.place([sha256.Size]byte(key.Sum(nil)), t)
		if err != nil {
			return fmt.Errorf("keep weights: %w", err)
		}
		t.Beside = &onnx.Place{File: weightsFile, Offset: at}
	}
	return nil
}

// same tells whether two constants are one.
func same(a, b *onnx.Tensor) bool {
	return b != nil && len(a.Data) > 0 && len(a.Data) == len(b.Data) && &a.Data[0] == &b.Data[0]
}

// place is where the content of t is in the file. It is put there where it is not.
func (s *weightStore) place(key [sha256.Size]byte, t *onnx.Tensor) (int64, error) {
	if at, known := s.at[key]; known {
		return at, nil
	}
	at := (s.end + storedAt - 1) / storedAt * storedAt
	w := bufio.NewWriterSize(io.NewOffsetWriter(s.file, at), 1<<18)
	var err error
	if t.Source != nil {
		err = t.Source(w)
	} else {
		_, err = w.Write(t.Data)
	}
	if err = errors.Join(err, w.Flush()); err != nil {
		return 0, err
	}
	s.at[key], s.end = at, at+t.Bytes()
	return at, nil
}

// Close removes what is kept; the store is then as new.
func (s *weightStore) Close() error {
	f := s.file
	*s = weightStore{}
	if f == nil {
		return nil
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("keep weights: %w", err)
	}
	return nil
}
