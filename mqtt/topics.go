package mqtt

// Texts of the availability topic.
const (
	Online  = "online"
	Offline = "offline" // the last will
	Stopped = "stopped" // ended by itself
)

// Texts of a camera's status topic.
const (
	CameraOnline   = "online"
	CameraOffline  = "offline"
	CameraStalled  = "stalled" // it is there, and shows nothing new
	CameraDisabled = "disabled"
)

// topics are the device's own, under <prefix>/<device>/.
type topics struct {
	base                                  string
	available, info, health, stats, event string
	command, response, update             string
}

func newTopics(prefix, device string) topics {
	base := prefix + "/" + device + "/"
	return topics{
		base: base, available: base + "available", info: base + "info", health: base + "health",
		stats: base + "stats", event: base + "event", command: base + "command", response: base + "command/response",
		update: base + "update",
	}
}
