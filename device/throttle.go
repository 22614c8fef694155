package device

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Throttle is how the kernel slows the machine down.
type Throttle struct {
	// Events counts since boot what made the SoC slow itself down.
	Events map[string]uint64 `json:"events,omitempty"`
	// Active names the coolers that hold something back now; fans are not among them.
	Active []string `json:"active,omitempty"`
}

// causes are the over-current inputs of the Tegra's thermal controller.
var causes = map[int]string{1: "under_voltage", 2: "average_over_current", 3: "instantaneous_over_current"}

// Throttle reads it; nil where the machine tells nothing.
func (m Machine) Throttle() *Throttle {
	t := &Throttle{}
	for _, dir := range m.hwmon("sys/class/hwmon/hwmon*", "soctherm_oc") {
		for n := 1; n <= 6; n++ {
			count, ok := m.number(fmt.Sprintf("%s/oc%d_event_cnt", dir, n))
			if !ok || count < 0 || count > 1<<53 {
				continue
			}
			cause, known := causes[n]
			if !known {
				cause = fmt.Sprintf("oc%d", n)
			}
			if t.Events == nil {
				t.Events = make(map[string]uint64)
			}
			t.Events[cause] += uint64(count)
		}
	}
	for _, file := range m.glob("sys/class/thermal/cooling_device*/cur_state") {
		kind := m.text(path.Dir(file) + "/type")
		state, ok := m.number(file)
		if ok && state > 0 && !strings.Contains(strings.ToLower(kind), "fan") {
			t.Active = append(t.Active, kind)
		}
	}
	slices.Sort(t.Active)
	t.Active = slices.Compact(t.Active)
	if t.Events == nil && t.Active == nil {
		return nil
	}
	return t
}
