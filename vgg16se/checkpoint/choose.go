package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
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
	d, ok := asDict(root)
	if !ok && stranger != "" {
		return nil, unknownGlobal(stranger)
	}
	if !ok {
		return nil, errors.New("it holds no state_dict: save with torch.save(model.state_dict(), …)")
	}
	var sets []set
	for _, s := range d.sets("", 0, map[*dict]bool{}) {
		sets = append(sets, s.twins()...)
	}
	if key == "" {
		sets = worthwhile(sets)
		slices.SortStableFunc(sets, func(a, b set) int { return a.rank() - b.rank() })
	} else {
		i := slices.IndexFunc(sets, func(s set) bool { return s.key == key })
		if i < 0 {
			return nil, fmt.Errorf("it has no tensors under %q; there are: %s", key,
				cmp.Or(keysOf(sets), "none at all"))
		}
		sets[0], sets[i] = sets[i], sets[0]
	}
	if len(sets) == 0 && stranger != "" {
		return nil, unknownGlobal(stranger)
	}
	if len(sets) == 0 {
		return nil, errors.New("it holds no named tensors: save with torch.save(model.state_dict(), …)")
	}
	f := &File{Format: format, Key: sets[0].key, Classes: d.classes()}
	for _, s := range sets[1:] {
		f.Others = append(f.Others, s.key)
		if key == "" && s.rank() == sets[0].rank() && slices.Equal(s.keys, sets[0].keys) {
			f.Rivals = append(f.Rivals, s.key)
		}
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

// asDict is the dict at the root of a pickle, or one of the members of a tuple or list there, under
// their places: some scripts save (weights, optimizer).
func asDict(root any) (*dict, bool) {
	var items []any
	switch r := root.(type) {
	case *dict:
		return r, true
	case tuple:
		items = r
	case *list:
		items = r.items
	}
	d := &dict{}
	for i, item := range items {
		if _, ok := item.(*dict); ok {
			d.set(strconv.Itoa(i), item)
		}
	}
	return d, len(d.keys) > 0
}

// classes are the names of the classes where training scripts keep them: {name: class} under
// class_to_idx, as torchvision's ImageFolder has it, or a list. Nil: there are none, or not one for
// each class.
func (d *dict) classes() []string {
	for _, key := range []string{"class_to_idx", "classes", "class_names", "labels"} {
		var names []string
		switch v := d.get(key).(type) {
		case *dict:
			names = make([]string, len(v.keys))
			for j, k := range v.keys {
				name, _ := k.(string)
				if class, ok := v.values[j].(int64); ok && class >= 0 && class < int64(len(names)) {
					names[class] = name
				}
			}
		case *list:
			for _, item := range v.items {
				name, _ := item.(string)
				names = append(names, name)
			}
		}
		if len(names) > 1 && !slices.Contains(names, "") {
			return names
		}
	}
	return nil
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

// twins are the networks of one shape that a set holds side by side, such as student and teacher,
// each under the name that stands before its tensors; of any other set the set itself.
func (s set) twins() []set {
	var order []string
	parts := map[string]*dict{}
	for i, k := range s.keys {
		name, _ := k.(string)
		first, rest, cut := strings.Cut(name, ".")
		if _, ok := s.values[i].(*tensor); !ok || !cut {
			continue
		}
		if parts[first] == nil {
			order, parts[first] = append(order, first), &dict{}
		}
		part := parts[first]
		part.keys, part.values = append(part.keys, rest), append(part.values, s.values[i])
	}
	if len(order) < 2 || len(parts[order[0]].keys) < 4 {
		return []set{s}
	}
	var all []set
	for _, first := range order {
		if !slices.Equal(parts[first].keys, parts[order[0]].keys) {
			return []set{s}
		}
		key := first
		if s.key != "" {
			key = s.key + "." + first
		}
		all = append(all, set{key, parts[first]})
	}
	return all
}

// deepest is how many dicts a state_dict may lie below.
const deepest = 8

// sets lists the dicts from d down that hold tensors directly, each once. What an optimizer
// remembers is left out.
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
	if depth == deepest {
		return found
	}
	for i, v := range d.values {
		below, isDict := v.(*dict)
		name, named := d.keys[i].(string)
		if n, ok := d.keys[i].(int64); ok && path == "" { // deeper, an optimizer numbers what it remembers
			name, named = strconv.FormatInt(n, 10), true
		}
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
