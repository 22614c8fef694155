package mqtt

// Texts of the availability topic and of a camera's status topic.
const (
	online   = "online"
	offline  = "offline" // as availability: the last will
	stopped  = "stopped" // ended by itself
	disabled = "disabled"
	stalled  = "stalled" // a camera that is there, and shows nothing new
)

// topics are the device's own, under <prefix>/<device>/.
type topics struct {
	base                                  string
	available, info, health, stats, event string
	command, response                     string
}

func newTopics(prefix, device string) topics {
	base := prefix + "/" + device + "/"
	return topics{
		base: base, available: base + "available", info: base + "info", health: base + "health",
		stats: base + "stats", event: base + "event", command: base + "command", response: base + "command/response",
	}
}
