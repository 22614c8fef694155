package device

import (
	"fmt"
	"maps"
	"slices"
)

// Power is what the board draws, by its own sensors.
type Power struct {
	TotalW float64            `json:"total_w"` // of the input rail where there is one, else the sum of the rails
	RailsW map[string]float64 `json:"rails_w"` // by the label of the rail, such as VDD_CPU_GPU_CV
	Alarms []string           `json:"alarms,omitempty"`
}

// inputs are the rails that all others hang on: Orin Nano and NX, the older Nano, Thor.
var inputs = []string{"VDD_IN", "POM_5V_IN", "VIN"}

// power reads the INA3221 of a Jetson (three channels; the later ones are shunt voltages and their
// sum) and the INA238 of a Thor.
func (m Machine) power() *Power {
	p := &Power{RailsW: make(map[string]float64)}
	for _, dir := range m.hwmon("sys/bus/i2c/devices/*/hwmon/hwmon*", "ina3221") {
		for n := 1; n <= 3; n++ {
			m.channel(p, dir, n)
		}
	}
	for _, dir := range m.hwmon("sys/bus/i2c/devices/*/hwmon/hwmon*", "ina238") {
		if micro, ok := m.number(dir + "/power1_input"); ok {
			p.RailsW["VIN"] = micro / 1e6
		}
	}
	if len(p.RailsW) == 0 {
		return nil
	}
	for _, rail := range slices.Sorted(maps.Keys(p.RailsW)) { // in one order: sums of floats depend on it
		p.TotalW += p.RailsW[rail]
	}
	for _, name := range inputs {
		if w, ok := p.RailsW[name]; ok {
			p.TotalW = w
			break
		}
	}
	return p
}

// channel adds channel n of an INA3221: millivolts times milliamperes.
func (m Machine) channel(p *Power, dir string, n int) {
	file := func(format string) string { return dir + "/" + fmt.Sprintf(format, n) }
	label := m.text(file("in%d_label"))
	volts, ok := m.number(file("in%d_input"))
	amperes, ok2 := m.number(file("curr%d_input"))
	if label == "" || label == "NC" || !ok || !ok2 {
		return
	}
	p.RailsW[label] = volts * amperes / 1e6
	for _, alarm := range []string{"curr%d_crit_alarm", "curr%d_max_alarm"} {
		if on, _ := m.number(file(alarm)); on > 0 {
			p.Alarms = append(p.Alarms, label)
			return
		}
	}
}
