package agent

import (
	"github.com/vggse/vggse-agent/api"
	"github.com/vggse/vggse-agent/device"
)

// machine is the computer, and the folder whose disk matters.
type sensors struct {
	device.Machine
	folder string
}

// telemetry reads it. The disk of a folder that is not there yet is left out.
func (m *sensors) telemetry() device.Telemetry {
	t := m.Telemetry()
	t.Disk, _ = device.Usage(m.folder)
	return t
}

// gauges are telemetry as metrics, in base units, and the share of its frame rate that the agent
// allows itself.
func gauges(t *device.Telemetry, share float64) []api.Gauge {
	var all []api.Gauge
	add := func(name, help string, value float64) {
		all = append(all, api.Gauge{Name: name, Help: help, Value: value})
	}
	of := func(name, help, label, where string, value float64) {
		all = append(all, api.Gauge{Name: name, Help: help, Label: label, Where: where, Value: value})
	}
	add("vggse_frame_rate_ratio",
		"Share of its frame rate that the agent allows itself; below 1 near to a limit of the machine.", share)
	for zone, v := range t.Temperatures {
		of("vggse_temperature_celsius", "Temperature of a zone of the machine.", "zone", zone, v)
	}
	if g := t.GPU; g != nil {
		add("vggse_gpu_clock_hertz", "Clock of the integrated GPU.", g.ClockHz)
		if g.Load != nil {
			add("vggse_gpu_load_ratio", "Load of the integrated GPU, 0 to 1.", *g.Load)
		}
	}
	if p := t.Power; p != nil {
		add("vggse_power_watts", "Power that the board draws.", p.TotalW)
		for rail, v := range p.RailsW {
			of("vggse_rail_power_watts", "Power on one rail of the board.", "rail", rail, v)
		}
	}
	if h := t.Throttle; h != nil {
		add("vggse_throttled_coolers", "Coolers of the kernel that hold something back now.", float64(len(h.Active)))
		for cause, n := range h.Events {
			of("vggse_throttle_events", "Times that the machine slowed itself down since its boot.", "cause", cause,
				float64(n))
		}
	}
	if m := t.Memory; m != nil {
		add("vggse_memory_bytes", "Memory of the machine.", float64(m.Total))
		add("vggse_memory_available_bytes", "Memory of the machine that is available.", float64(m.Available))
	}
	if d := t.Disk; d != nil {
		add("vggse_disk_bytes", "Size of the disk that holds the state.", float64(d.Total))
		add("vggse_disk_available_bytes", "Free space on the disk that holds the state.", float64(d.Available))
	}
	return all
}

// trialGauges are the trial of a new model as metrics; t is nil where none is on trial.
func trialGauges(t *probation, rollbacks uint64) []api.Gauge {
	onTrial, decided := 0.0, 0.0
	if t != nil {
		done, _, _ := t.report()
		onTrial, decided = 1, float64(done.Frames)
	}
	return []api.Gauge{
		{Name: "vggse_model_on_trial", Help: "1 while a new model has to make good, else 0.", Value: onTrial},
		{Name: "vggse_model_trial_decisions", Help: "Decisions of the model on trial; 0 where none is.",
			Value: decided},
		{Name: "vggse_model_rollbacks", Help: "Models on trial that were refused since the start.",
			Value: float64(rollbacks)},
	}
}
