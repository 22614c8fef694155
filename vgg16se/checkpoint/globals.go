package checkpoint

import (
	"fmt"
	"strings"

	"github.com/vggse/vggse-agent/onnx"
)

// storageTypes are PyTorch's typed storages.
var storageTypes = map[global]onnx.DataType{
	"torch.FloatStorage": onnx.Float32, "torch.DoubleStorage": onnx.Float64,
	"torch.HalfStorage": onnx.Float16, "torch.BFloat16Storage": onnx.BFloat16,
	"torch.LongStorage": onnx.Int64, "torch.IntStorage": onnx.Int32, "torch.ShortStorage": onnx.Int16,
	"torch.CharStorage": onnx.Int8, "torch.ByteStorage": onnx.Uint8, "torch.BoolStorage": onnx.Bool,
}

// containers are what becomes a tuple or a dict here.
var containers = map[global]bool{
	"collections.OrderedDict": true, "collections.defaultdict": true, "collections.Counter": true,
	"builtins.dict": true, "__builtin__.dict": true, "torch.Size": true,
}

// rebuilders make tensors of storages.
var rebuilders = map[global]bool{
	"torch._utils._rebuild_tensor": true, "torch._utils._rebuild_tensor_v2": true,
	"torch._utils._rebuild_parameter": true, "torch._utils._rebuild_parameter_with_state": true,
	"torch._tensor._rebuild_from_type_v2": true,
}

// harmless are names that stand beside the weights in many checkpoints. They become opaque values:
// their arguments are dropped, nothing is computed.
var harmless = map[global]bool{
	"argparse.Namespace": true, "types.SimpleNamespace": true, "pathlib.PosixPath": true, "pathlib.PurePosixPath": true,
	"pathlib._local.PosixPath": true, "datetime.datetime": true, "datetime.timedelta": true, "_codecs.encode": true,
	"numpy.dtype": true, "numpy.ndarray": true, "numpy.core.multiarray.scalar": true,
	"numpy._core.multiarray.scalar":      true,
	"numpy.core.multiarray._reconstruct": true, "numpy._core.multiarray._reconstruct": true,
	"__builtin__.set": true, "__builtin__.frozenset": true, "__builtin__.list": true, "builtins.list": true,
	"__builtin__.slice": true, "__builtin__.complex": true, "builtins.dict": true, "__builtin__.dict": true,
	"builtins.int": true, "builtins.float": true, "builtins.str": true, "collections.deque": true,
	"__builtin__.int": true, "__builtin__.float": true, "datetime.timezone": true, "datetime.date": true,
	"pathlib.WindowsPath": true, "pathlib.PureWindowsPath": true, "pathlib._local.WindowsPath": true,
	"torch.torch_version.TorchVersion": true,
	"builtins.set":                     true, "builtins.frozenset": true, "builtins.slice": true,
	"builtins.complex": true,
	"torch.device":     true, "torch.Tensor": true, "torch.nn.parameter.Parameter": true,
	"torch.nn.parameter.Buffer": true,
	"torch.float32":             true, "torch.float64": true, "torch.float16": true, "torch.bfloat16": true,
	"torch.int64": true, "torch.int32": true, "torch.uint8": true, "torch.bool": true,
}

func (g global) known() bool {
	return storageTypes[g] != 0 || containers[g] || rebuilders[g] || harmless[g]
}

func unknownGlobal(g global) error {
	name := string(g)
	if len(name) > 80 {
		name = name[:80] + "…"
	}
	return fmt.Errorf("it needs the Python object %q; this reader runs no Python: save with "+
		"torch.save(model.state_dict(), …), or of another network than a VGG export it to .onnx", name)
}

// storage is a reference to numbers in the file.
type storage struct {
	kind  onnx.DataType
	key   string
	count int64
}

// newStorage reads a persistent id: ("storage", type, key, location, count, view).
func newStorage(id any) (*storage, error) {
	t, ok := id.(tuple)
	if !ok || len(t) < 5 || t[0] != any("storage") {
		return nil, errPickle
	}
	kind, ok1 := t[1].(global)
	key, ok2 := t[2].(string)
	count, ok3 := t[4].(int64)
	if ok1 && storageTypes[kind] == 0 {
		return nil, fmt.Errorf("a tensor lies in a %.80q, a kind that is not read (8 bits, quantized, complex): save "+
			"it with .float()", string(kind))
	}
	if !ok1 || !ok2 || !ok3 || count < 0 {
		return nil, errPickle
	}
	if len(t) > 5 && t[5] != nil {
		return nil, fmt.Errorf("a view of a storage, as PyTorch 0.3 saved: load and save it with a newer one")
	}
	return &storage{storageTypes[kind], key, count}, nil
}

// tensor is a view of a storage.
type tensor struct {
	*storage
	offset         int64 // in elements
	shape, strides []int64
	negated        bool // lazily: what it holds is the storage times −1
}

// call is what REDUCE and NEWOBJ do with a global of the closed list; size is about what the result
// takes of the heap.
func (g global) call(args tuple) (result any, size int, err error) {
	switch {
	case g == "torch.Size" && len(args) == 1:
		if t, ok := args[0].(tuple); ok {
			return t, 0, nil
		}
	case containers[g]:
		d := newDict(args)
		return d, 128 * len(d.keys), nil
	case harmless[g]:
		return opaque{}, 0, nil
	case !g.known(): // it stands beside the weights, or they cannot be read
		return opaque{g}, 0, nil
	case g == "torch._tensor._rebuild_from_type_v2" && len(args) >= 3:
		f, ok1 := args[0].(global)
		inner, ok2 := args[2].(tuple)
		if ok1 && ok2 && rebuilders[f] && f != g {
			return f.call(inner)
		}
	case strings.HasPrefix(string(g), "torch._utils._rebuild_parameter") && len(args) >= 1:
		if t, ok := args[0].(*tensor); ok {
			return t, 0, nil
		}
	case strings.HasPrefix(string(g), "torch._utils._rebuild_tensor") && len(args) >= 4:
		t, err := newTensor(args)
		return t, 1024, err
	}
	return nil, 0, errPickle
}

// newDict makes a dict of nothing, or of the list of pairs that Python 2 saved.
func newDict(args tuple) *dict {
	d := &dict{}
	if len(args) != 1 {
		return d
	}
	pairs, ok := args[0].(*list)
	if !ok {
		return d
	}
	for _, p := range pairs.items {
		if p, ok := p.(*list); ok && len(p.items) == 2 {
			d.set(p.items[0], p.items[1])
		}
	}
	return d
}

// newTensor takes (storage, offset, shape, strides, …).
func newTensor(args tuple) (*tensor, error) {
	s, ok1 := args[0].(*storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := ints(args[2])
	strides, ok4 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || offset < 0 {
		return nil, errPickle
	}
	t := &tensor{s, offset, shape, strides, false}
	if len(args) > 6 {
		if facts, ok := args[6].(*dict); ok {
			for i, k := range facts.keys {
				on, _ := facts.values[i].(bool)
				switch {
				case on && k == any("neg"):
					t.negated = true
				case on:
					return nil, fmt.Errorf("a tensor is stored with the flag %v, not worked out: save it with "+
						"tensor.resolve_conj()", k)
				}
			}
		}
	}
	return t, nil
}

// ints reads a tuple of integers; a tensor has at most 64 dimensions.
func ints(v any) ([]int64, bool) {
	t, ok := v.(tuple)
	if !ok || len(t) > 64 {
		return nil, false
	}
	out := make([]int64, len(t))
	for i, x := range t {
		if out[i], ok = x.(int64); !ok {
			return nil, false
		}
	}
	return out, true
}
