package release

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// historyFile is the name of the record in the state folder.
const historyFile = "releases.json"

// history is what the device has taken so far.
type history struct {
	Seen    []seen          `json:"seen"`    // the highest of each name and key
	Last    map[string]seen `json:"last"`    // by name: what was taken last, whoever signed it
	Adopted []adopted       `json:"adopted"` // keys that a signed statement brought
}

// seen is a release that was taken.
type seen struct {
	Name    string `json:"name"`
	Key     string `json:"key"` // fingerprint
	Release int64  `json:"release"`
	Bundle  string `json:"bundle"`
}

// adopted is a key that another one vouched for.
type adopted struct {
	Key    string `json:"key"`    // as minisign writes it
	Parent string `json:"parent"` // fingerprint of the key that signed the statement with it
}

func (g *Gate) historyPath() string { return filepath.Join(g.StateDir, historyFile) }

// readHistory returns what was taken so far. A damaged record is an error: without it an older
// release would pass.
func (g *Gate) readHistory() (*history, error) {
	h := &history{Last: make(map[string]seen)}
	if g.StateDir == "" {
		return h, nil
	}
	err := atomicfile.ReadSealed(g.historyPath(), 1<<20, h)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s, which knows the releases that were taken, is damaged: remove it by hand, then any "+
			"signed release is taken once", g.historyPath())
	}
	if h.Last == nil {
		h.Last = make(map[string]seen)
	}
	return h, nil
}

// remembered is readHistory for who may do without one: where no key is trusted and none is asked
// for, nothing was ever taken by one, and damage hides nothing.
func (g *Gate) remembered() (*history, error) {
	h, err := g.readHistory()
	if err == nil {
		return h, nil
	}
	none := &history{Last: make(map[string]seen)}
	if t, failed := g.trust(none); failed == nil && !t.any() && !t.required {
		return none, nil
	}
	return nil, err
}

// highest is the highest release of a name that the key has signed and that was taken here.
func (h *history) highest(name, key string) (seen, bool) {
	for _, s := range h.Seen {
		if s.Name == name && s.Key == key {
			return s, true
		}
	}
	return seen{}, false
}

// take adds a release and the key that it brings.
func (h *history) take(s seen, newKey string) {
	i := slices.IndexFunc(h.Seen, func(o seen) bool { return o.Name == s.Name && o.Key == s.Key })
	switch {
	case i < 0:
		h.Seen = append(h.Seen, s)
	case h.Seen[i].Release < s.Release:
		h.Seen[i] = s
	}
	h.Last[s.Name] = s
	a := adopted{newKey, s.Key}
	if newKey != "" && !slices.Contains(h.Adopted, a) {
		h.Adopted = append(h.Adopted, a)
	}
}

func (g *Gate) writeHistory(h *history) error {
	return atomicfile.WriteSealed(g.historyPath(), 0o600, h)
}
