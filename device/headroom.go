package device

import (
	"fmt"
	"math"
)

// Headroom is how near the machine is to where its kernel slows it down, by heat and by current.
// What it does not tell is empty or zero.
type Headroom struct {
	Zone    string  `json:"zone,omitempty"`    // the zone nearest to its limit
	Celsius float64 `json:"celsius,omitempty"` // its temperature
	Limit   float64 `json:"limit_c,omitempty"` // where the kernel begins to hold something back
	Rail    string  `json:"rail,omitempty"`    // the rail nearest to its limit
	Share   float64 `json:"share,omitempty"`   // of the current that raises the first alarm of that rail
}

// Headroom reads it. Like Telemetry it takes a few milliseconds.
func (m Machine) Headroom() Headroom {
	var h Headroom
	for _, z := range m.zones() {
		limit, ok := m.passiveTrip(z.dir)
		if ok && (h.Zone == "" || limit-z.celsius < h.Limit-h.Celsius) {
			h.Zone, h.Celsius, h.Limit = z.name, z.celsius, limit
		}
	}
	for _, dir := range m.hwmon("sys/bus/i2c/devices/*/hwmon/hwmon*", "ina3221") {
		for n := 1; n <= 3; n++ {
			rail := m.text(fmt.Sprintf("%s/in%d_label", dir, n))
			if share, ok := m.currentShare(dir, n); ok && rail != "" && rail != "NC" && share > h.Share {
				h.Rail, h.Share = rail, share
			}
		}
	}
	return h
}

// passiveTrip is the lowest temperature at which the kernel cools a zone by slowing something down
// (trip points of type passive, Documentation/driver-api/thermal/sysfs-api.rst). One below what a
// warm room does to a chip is none: firmware writes 0 for "not set".
func (m Machine) passiveTrip(zone string) (float64, bool) {
	const least = 45 // °C
	lowest := math.Inf(1)
	for n := range 16 {
		if m.text(fmt.Sprintf("%s/trip_point_%d_type", zone, n)) != "passive" {
			continue
		}
		if milli, ok := m.number(fmt.Sprintf("%s/trip_point_%d_temp", zone, n)); ok && milli >= least*1000 {
			lowest = min(lowest, milli/1000)
		}
	}
	return lowest, !math.IsInf(lowest, 1)
}

// currentShare is the current of channel n over the lowest that raises an alarm.
func (m Machine) currentShare(dir string, n int) (float64, bool) {
	now, ok := m.number(fmt.Sprintf("%s/curr%d_input", dir, n))
	if !ok || now < 0 {
		return 0, false
	}
	lowest := math.Inf(1)
	for _, limit := range []string{"max", "crit"} {
		if milli, ok := m.number(fmt.Sprintf("%s/curr%d_%s", dir, n, limit)); ok && milli > 0 {
			lowest = min(lowest, milli)
		}
	}
	return now / lowest, !math.IsInf(lowest, 1)
}
