package device

import (
	"path"
	"slices"
	"strings"
)

// GPU is the integrated GPU of a Tegra.
type GPU struct {
	Load     *float64 `json:"load,omitempty"` // 0 to 1; nil where it is not measured, as on a Thor
	ClockHz  float64  `json:"clock_hz"`
	MaxHz    float64  `json:"max_hz,omitempty"` // as the governor may go now
	Governor string   `json:"governor,omitempty"`
}

// nodes are the names that a GPU has in the device tree: of Volta, Pascal, Ampere, and of newer
// kernels.
var nodes = []string{"gv11b", "gp10b", "ga10b", "gpu"}

// gpu reads the frequency device that is the GPU: by its node in the device tree, or by its own
// name (Thor).
func (m Machine) gpu() *GPU {
	for _, dir := range m.glob("sys/class/devfreq/*") {
		node := m.text(dir + "/device/of_node/name")
		if !slices.Contains(nodes, node) && !strings.HasPrefix(path.Base(dir), "gpu-gpc-") {
			continue
		}
		clock, ok := m.number(dir + "/cur_freq")
		if !ok {
			continue
		}
		g := &GPU{ClockHz: clock, Governor: m.text(dir + "/governor")}
		g.MaxHz, _ = m.number(dir + "/max_freq")
		if tenths, ok := m.number(dir + "/device/load"); ok && tenths >= 0 {
			load := min(tenths/1000, 1)
			g.Load = &load
		}
		return g
	}
	return nil
}
