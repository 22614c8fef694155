package dataset

import (
	"slices"
	"sync"

	"github.com/vggse/vggse-agent/vision"
)

// cache keeps the tensors of a set that is gone through again and again, up to a limit. A nil cache
// keeps nothing.
type cache struct {
	limit int // bytes; twice that of heap, before it is collected

	mu      sync.Mutex
	tensors map[int][]float32
	bytes   int
}

func newCache(limit int) *cache { return &cache{limit: limit, tensors: map[int][]float32{}} }

// load fills t with the tensor of a place, if it is kept.
func (c *cache) load(place int, t *vision.Tensor) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	kept := c.tensors[place] // never written again
	c.mu.Unlock()
	return copy(t.Data, kept) > 0
}

// store keeps a copy of t, if there is room.
func (c *cache) store(place int, t *vision.Tensor) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes+4*len(t.Data) <= c.limit && c.tensors[place] == nil {
		c.bytes += 4 * len(t.Data)
		c.tensors[place] = slices.Clone(t.Data)
	}
}
