package checkpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// isIndex tells whether a file, by its name, says which tensor is in which of several .safetensors, or .bin
// of PyTorch.
func isIndex(path string) bool {
	return strings.HasSuffix(path, ".safetensors.index.json") || strings.HasSuffix(path, ".bin.index.json")
}

// indexLimit is the largest index that is read, bytes: a million tensors.
const indexLimit = 256 << 20

// openShards opens the files that an index names, which lie beside it, as one checkpoint.
func openShards(path string) (*File, error) {
	text, err := atomicfile.ReadSmall(path, indexLimit)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	var index struct {
		Files map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil || len(index.Files) == 0 {
		return nil, fmt.Errorf("checkpoint: %s: not an index of a checkpoint in parts: %v", path, err)
	}
	format := Safetensors
	if strings.HasSuffix(path, ".bin.index.json") {
		format = TorchZip
	}
	whole := &File{Format: format + ", in parts"}
	for _, name := range slices.Compact(slices.Sorted(maps.Values(index.Files))) {
		err := whole.addShard(filepath.Dir(path), name, index.Files)
		if err != nil {
			whole.Close()
			return nil, fmt.Errorf("checkpoint: %s: %w", path, err)
		}
	}
	if len(whole.Tensors) != len(index.Files) {
		whole.Close()
		return nil, fmt.Errorf("checkpoint: %s: it names %d tensors, its files hold %d of them: copy all files again",
			path, len(index.Files), len(whole.Tensors))
	}
	return whole, nil
}

// addShard takes those tensors of a file that the index says are in it.
func (f *File) addShard(dir, name string, index map[string]string) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("it names the file %q, which is not beside it", name)
	}
	shard, err := Open(filepath.Join(dir, name), "")
	if err != nil {
		return err
	}
	f.shards = append(f.shards, shard)
	for _, t := range shard.Tensors {
		if index[t.Name] == name {
			f.Tensors = append(f.Tensors, t)
		}
	}
	return nil
}
