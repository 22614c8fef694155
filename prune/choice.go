package prune

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// readChoice reads which channels of n stay from a JSON file that another program wrote: of layers, by
// their names, the indices of the channels.
func readChoice(path string, n *VGG) (map[string][]int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var choice map[string][]int
	if err := json.Unmarshal(data, &choice); err != nil {
		return nil, fmt.Errorf("%s: %w; wanted are layers with the channels to keep, such as "+
			`{"features.0": [0, 2, 3]}`, path, err)
	}
	m, err := n.Model()
	if err != nil {
		return nil, err
	}
	if _, err := planOf(groups(n.Arch, &m.Graph), choice); err != nil { // before the work, not after it
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return choice, nil
}

// Choose is the plan that keeps the channels of choice, by layer; layers that it does not name keep
// all.
func (s *Analysis) Choose(choice map[string][]int) (Plan, error) {
	p, err := planOf(s.groups, choice)
	for i := range p {
		if g := &s.groups[i]; s.known[i].xx == nil && len(p[i]) < g.width {
			return nil, fmt.Errorf("%s is too wide to be fitted with %d pictures: leave it out, or bring more",
				g.maker.Name, s.bench.Pictures.Len())
		}
	}
	return p, err
}

// planOf is the plan of a choice, which is held against the layers that there are.
func planOf(groups []group, choice map[string][]int) (Plan, error) {
	p := make(Plan, len(groups))
	rest := maps.Clone(choice)
	for i := range groups {
		g := &groups[i]
		keep, named := rest[g.maker.Name]
		delete(rest, g.maker.Name)
		if !named {
			p[i] = upTo(g.width)
			continue
		}
		p[i] = slices.Sorted(slices.Values(keep))
		switch at := p[i]; {
		case len(at) == 0:
			return nil, fmt.Errorf("no channel of %s is chosen: leave the layer out to keep all", g.maker.Name)
		case at[0] < 0 || at[len(at)-1] >= g.width:
			return nil, fmt.Errorf("%s has the channels 0 to %d, not %d", g.maker.Name, g.width-1,
				at[max(0, slices.IndexFunc(at, func(c int) bool { return c < 0 || c >= g.width }))])
		case len(slices.Compact(slices.Clone(at))) != len(at):
			return nil, fmt.Errorf("a channel of %s is chosen twice", g.maker.Name)
		}
	}
	for name := range rest {
		return nil, fmt.Errorf("the network has no layer %s: it has %s to %s", name, groups[0].maker.Name,
			groups[len(groups)-1].maker.Name)
	}
	return p, nil
}
