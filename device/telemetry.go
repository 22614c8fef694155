package device

// Telemetry is how the machine fares now. What it does not measure is nil or zero, and absent from
// the JSON.
type Telemetry struct {
	Temperatures map[string]float64 `json:"temperature_c,omitempty"` // °C by zone: cpu, gpu, soc0, tj, …
	GPU          *GPU               `json:"gpu,omitempty"`
	Power        *Power             `json:"power,omitempty"`
	Throttle     *Throttle          `json:"throttle,omitempty"`
	Memory       *Memory            `json:"memory,omitempty"`
	Disk         *Disk              `json:"disk,omitempty"`
	Uptime       float64            `json:"uptime_s,omitempty"`   // of the machine, seconds
	PowerMode    string             `json:"power_mode,omitempty"` // name of the nvpmodel, such as MAXN or 15W
}

// Telemetry reads all of it but Disk, which is Usage of a folder. It takes a few milliseconds, for
// a sensor on I²C is asked at each read.
func (m Machine) Telemetry() Telemetry {
	return Telemetry{
		Temperatures: m.temperatures(), GPU: m.gpu(), Power: m.power(), Throttle: m.Throttle(),
		Memory: m.Memory(), Uptime: m.uptime(), PowerMode: m.powerMode(),
	}
}
