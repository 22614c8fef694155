package camera

import (
	"maps"
	"os"
	"slices"
	"time"
)

const (
	// listEvery is how often a folder that is shown in a loop is looked through for new pictures.
	listEvery = time.Second
	// settled is how long a new file must not have been written to before it is shown: until then
	// somebody is copying it.
	settled = time.Second
)

// growth finds pictures that come into a folder or pattern while it is shown.
type growth struct {
	from   string          // the folder or pattern; "": it is not watched
	known  map[string]bool // paths that are in the list; false: it has gone
	listed time.Time       // when it was looked through
}

func newGrowth(from string, paths []string) growth {
	g := growth{from: from, known: make(map[string]bool), listed: time.Now()}
	for _, p := range paths {
		g.known[p] = true
	}
	return g
}

// more are the pictures that are new, in their order.
func (g *growth) more(now time.Time) (fresh []string) {
	if g.from == "" || now.Sub(g.listed) < listEvery {
		return nil
	}
	g.listed = now
	all, err := listStills(g.from)
	if err != nil {
		return nil
	}
	for _, path := range all {
		if _, known := g.known[path]; known {
			continue
		}
		if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()).Abs() >= settled {
			g.known[path] = true
			fresh = append(fresh, path)
		}
	}
	return fresh
}

// missing notes that a picture could not be read: one that has gone is not looked for again.
func (g *growth) missing(path string) {
	if _, err := os.Stat(path); err != nil && g.from != "" {
		g.known[path] = false
	}
}

// rest are the pictures of paths but for those that have gone, in order.
func (g *growth) rest(paths []string) []string {
	if g.from == "" {
		return paths
	}
	there := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !g.known[p] })
	if len(there) == 0 {
		return paths
	}
	maps.DeleteFunc(g.known, func(_ string, there bool) bool { return !there })
	slices.Sort(there)
	return there
}
