package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/vggse/vggse-agent/onnx"
)

// Formats of File.
const (
	Safetensors = "safetensors"
	TorchZip    = "pytorch zip"
	TorchLegacy = "pytorch legacy"
)

// heapLimit bounds what the names and shapes in a file may take of the heap, about.
const heapLimit = 16 << 20

// File is an open checkpoint. Its tensors are valid until Close.
type File struct {
	Format   string
	Tensors  []Tensor          // in the order of the file
	Metadata map[string]string // of safetensors
	Key      string            // where in a nested checkpoint the tensors were found, "" at its top
	Others   []string          // keys of further sets of tensors that were not taken
	Rivals   []string          // those of Others that are as likely the network, tensor for tensor
	Classes  []string          // names of the classes in their order, where they stand beside the weights; else nil

	mapping *onnx.Mapping
	shards  []*File
	names   map[string]bool // of the tensors of a safetensors file
	spans   [][2]int64      // where they lie
}

// Open maps the checkpoint at path and finds its tensors. In a nested PyTorch checkpoint it takes
// the set under key, or where key is "" the one that is most likely the network. Of a
// model.safetensors.index.json or pytorch_model.bin.index.json it reads the files beside it that it names.
func Open(path, key string) (*File, error) {
	if isIndex(path) {
		return openShards(path)
	}
	m, err := onnx.Map(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	f, err := parse(m.Bytes, key)
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	f.mapping = m
	return f, nil
}

var errFormat = errors.New("neither safetensors nor a PyTorch checkpoint: save it with " +
	"torch.save(model.state_dict(), …) or as .safetensors")

// parse tells the format from the first bytes.
func parse(b []byte, key string) (*File, error) {
	switch {
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return parseZip(b, key)
	case len(b) > 2 && b[0] == 0x80 && bytes.Contains(b[:min(len(b), 32)], legacyMagic):
		return parseLegacy(b, key)
	case len(b) > 8 && b[8] == '{':
		return parseSafetensors(b)
	}
	if what := onnx.NotModel(b[:min(len(b), 512)]); what != "" {
		return nil, errors.New(what)
	}
	if len(b) > 2 && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5 {
		return nil, errors.New("a pickle that torch.save has not written, as of scikit-learn or numpy: of a network " +
			"of PyTorch save it with torch.save(model.state_dict(), …)")
	}
	// ir_version, then producer_name, its version, domain, doc_string or graph
	if len(b) > 3 && b[0] == 8 && b[1] > 2 && b[1] < 32 && strings.IndexByte("\x12\x1a\x22\x32\x3a", b[2]) >= 0 {
		return nil, errors.New("an ONNX file, as it looks: name it .onnx")
	}
	return nil, errFormat
}

// Close unmaps the file. It may be called twice.
func (f *File) Close() error {
	var errs []error
	for _, shard := range f.shards {
		errs = append(errs, shard.Close())
	}
	if f.mapping != nil {
		errs = append(errs, f.mapping.Close())
	}
	return errors.Join(errs...)
}

// Tensor returns the tensor with the given name, nil where there is none.
func (f *File) Tensor(name string) *Tensor {
	for i := range f.Tensors {
		if f.Tensors[i].Name == name {
			return &f.Tensors[i]
		}
	}
	return nil
}
