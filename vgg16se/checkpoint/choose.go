package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// likely are the keys under which training scripts keep the weights, the likeliest first.
var likely = []string{"state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module",
	"ema", "ema_state_dict", "model_ema"}

// set is a dict that holds tensors under names.
type set struct {
	key string
	*dict
}

// choose finds the state_dict in what the pickle built and makes its tensors.
func choose(format string, root any, stranger global, key string, find content) (*File, error) {
	d, ok := root.(*dict)
	if !ok && stranger != "" {
		return nil, unknownGlobal(stranger)
	}
	if !ok {
		return nil, errors.New("it holds no state_dict: save with torch.save(model.state_dict(), …)")
	}
	sets := d.sets("", 0, map[*dict]bool{})
	if key == "" {
		sets = worthwhile(sets)
		slices.SortStableFunc(sets, func(a, b set) int { return a.rank() - b.rank() })
	} else {
		i := slices.IndexFunc(sets, func(s set) bool { return s.key == key })
		if i < 0 {
			return nil, fmt.Errorf("it has no tensors under %q; there are: %s", key, keysOf(sets))
		}
		sets[0], sets[i] = sets[i], sets[0]
	}
	if len(sets) == 0 && stranger != "" {
		return nil, unknownGlobal(stranger)
	}
	if len(sets) == 0 {
		return nil, errors.New("it holds no named tensors: save with torch.save(model.state_dict(), …)")
	}
	f := &File{Format: format, Key: sets[0].key}
	for _, s := range sets[1:] {
		f.Others = append(f.Others, s.key)
	}
	for i, k := range sets[0].keys {
		t, ok := sets[0].values[i].(*tensor)
		name, isName := k.(string)
		if !ok || !isName {
			continue
		}
		made, err := t.named(name, find)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		f.Tensors = append(f.Tensors, made)
	}
	return f, nil
}

// named makes a Tensor of the view t.
func (t *tensor) named(name string, find content) (Tensor, error) {
	data, err := find(t.storage)
	if err != nil {
		return Tensor{}, err
	}
	if width := t.kind.Width(); t.offset > int64(len(data))/width {
		return Tensor{}, fmt.Errorf("it begins at element %d of a storage that has %d", t.offset,
			int64(len(data))/width)
	} else {
		data = data[t.offset*width:]
	}
	made := Tensor{Name: name, Type: t.kind, Shape: t.shape, strides: t.strides, data: data, negated: t.negated}
	return made, made.check()
}

// sets lists the dicts from d down that hold tensors directly, each once, three levels deep. What
// an optimizer remembers is left out.
func (d *dict) sets(path string, depth int, seen map[*dict]bool) []set {
	if seen[d] {
		return nil
	}
	seen[d] = true
	var found []set
	for i, v := range d.values {
		_, isTensor := v.(*tensor)
		if _, named := d.keys[i].(string); named && isTensor {
			found = append(found, set{path, d})
			break
		}
	}
	if depth == 3 {
		return found
	}
	for i, v := range d.values {
		below, isDict := v.(*dict)
		name, named := d.keys[i].(string)
		if !isDict || !named || strings.Contains(name, "optim") {
			continue
		}
		if path != "" {
			name = path + "." + name
		}
		found = append(found, below.sets(name, depth+1, seen)...)
	}
	return found
}

// worthwhile drops the sets that have no weight of a layer, two dimensions or more, where another
// has: a loss or a best accuracy that stands as a tensor beside the weights is no network.
func worthwhile(sets []set) []set {
	weights := slices.DeleteFunc(slices.Clone(sets), func(s set) bool {
		return !slices.ContainsFunc(s.values, func(v any) bool {
			t, ok := v.(*tensor)
			return ok && len(t.shape) > 1
		})
	})
	if len(weights) == 0 {
		return sets
	}
	return weights
}

// rank is the place of the set's key in likely.
func (s set) rank() int {
	first, _, _ := strings.Cut(s.key, ".")
	if i := slices.Index(likely, first); i >= 0 {
		return i
	}
	return len(likely)
}

func keysOf(sets []set) string {
	var keys []string
	for _, s := range sets {
		keys = append(keys, s.key)
	}
	return strings.Join(keys, ", ")
}
