package device

import (
	"strconv"
	"strings"
)

// Memory is the machine's, which on a Jetson is the GPU's too. Bytes.
type Memory struct {
	Total     uint64 `json:"total_bytes"`
	Available uint64 `json:"available_bytes"` // without swapping (proc(5), MemAvailable)
	SwapUsed  uint64 `json:"swap_used_bytes"`
}

// Memory reads it; nil where the machine does not tell.
func (m Machine) Memory() *Memory {
	v := parseMeminfo(m.text("proc/meminfo"))
	if v["MemTotal"] == 0 {
		return nil
	}
	used := v["SwapTotal"] - min(v["SwapFree"], v["SwapTotal"])
	return &Memory{Total: v["MemTotal"], Available: v["MemAvailable"], SwapUsed: used}
}

// parseMeminfo reads lines such as "MemTotal:  15823456 kB" into bytes.
func parseMeminfo(text string) map[string]uint64 {
	values := make(map[string]uint64)
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) != 2 || fields[1] != "kB" {
			continue
		}
		if n, err := strconv.ParseUint(fields[0], 10, 53); err == nil {
			values[name] = n << 10
		}
	}
	return values
}

// uptime is how long the machine has run, seconds.
func (m Machine) uptime() float64 {
	first, _, _ := strings.Cut(m.text("proc/uptime"), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil || !(seconds >= 0 && seconds < 1e12) {
		return 0
	}
	return seconds
}
