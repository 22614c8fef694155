package mqtt

import (
	"encoding/json"
	"maps"
	"math"
	"strings"
	"sync"
	"time"
)

// Condition is how one part of the device fares.
type Condition struct {
	Status string `json:"status"`           // OK, Degraded or Failed
	Reason string `json:"reason,omitempty"` // for people; always there where it is not OK
}

// Values of Condition.Status, from good to bad.
const (
	OK       = "ok"
	Degraded = "degraded"
	Failed   = "failed"
)

// health is the content of the health topic: cameras and queue are the link's own findings, the
// rest comes from Health.
type health struct {
	mu    sync.Mutex
	state *state
	parts map[string]Condition
}

// Health tells how a part of the device fares: "model", "disk", "clock", "thermal". Published,
// retained, where it changed.
func (l *Link) Health(part string, c Condition) {
	l.health.set(part, c)
	l.checkHealth()
}

// Conditions are how all parts fare, by name.
func (l *Link) Conditions() map[string]Condition {
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	return maps.Clone(l.health.parts)
}

// set reports whether that is news.
func (h *health) set(part string, c Condition) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.parts[part]
	if h.parts == nil {
		h.parts = make(map[string]Condition)
	}
	h.parts[part] = c
	return !known || before != c
}

// checkHealth looks at cameras and queue, and publishes what is true now.
func (l *Link) checkHealth() {
	l.health.set("cameras", l.camerasCondition())
	l.health.set("queue", l.queueCondition())
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	l.out.set(l.health.state, healthOf(l.id.Device, l.health.parts))
}

// healthOf is the payload of the health topic.
func healthOf(device string, parts map[string]Condition) []byte {
	overall := OK
	for _, c := range parts {
		if c.Status == Failed || c.Status == Degraded && overall == OK {
			overall = c.Status
		}
	}
	return encode(struct {
		Schema  string               `json:"schema"`
		Device  string               `json:"device"`
		Overall string               `json:"overall"`
		Parts   map[string]Condition `json:"parts"`
	}{"vggse.health/1", device, overall, parts})
}

func (l *Link) camerasCondition() Condition {
	l.mu.Lock()
	defer l.mu.Unlock()
	var missing []string
	wanted := 0
	for _, name := range l.id.Cameras {
		switch l.cameras[name].now {
		case CameraOffline, CameraStalled:
			missing = append(missing, name)
			wanted++
		case CameraOnline:
			wanted++
		}
	}
	switch {
	case len(missing) == 0:
		return Condition{Status: OK}
	case len(missing) == wanted:
		return Condition{Failed, "no camera delivers"}
	}
	return Condition{Degraded, "offline: " + strings.Join(missing, ", ")}
}

func (l *Link) queueCondition() Condition {
	switch s := l.Queue(); {
	case s.Err != nil:
		return Condition{Degraded, "records wait in memory only: " + s.Err.Error()}
	case s.Full:
		return Condition{Degraded, "full: the oldest records make room"}
	}
	return Condition{Status: OK}
}

// quality is that of the clock now.
func (l *Link) quality() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.clock.at(now, now).synced {
		return "synced"
	}
	return "unsynced"
}

// Stats are the figures of the stats topic since the last one, as the pipeline knows them.
type Stats struct {
	Cameras []CameraStats
	Machine any // how the machine fares, encoded as it stands; nil: nothing is known
}

// CameraStats are one camera's figures.
type CameraStats struct {
	Name         string
	FPS          float64 // frames classified a second
	Captured     uint64  // frames since the start
	Classified   uint64  // of them
	Skipped      uint64  // of them: a newer one came before the network was free
	Still        uint64  // of them: nothing had moved
	Judged       bool    // the network tells whether a frame shows one of its classes
	Unknown      uint64  // of Classified: frames that show none, since the start
	UnknownShare float64 // of the judged frames since the last Stats, 0..1
	Drift        Drift
	Infer, Total Percentiles // time inside the network; from capture to decision
}

// Drift is whether a stream's pictures go on looking like those that the model was calibrated or taught with.
type Drift struct {
	Watched  bool
	Features bool    // its labels' pictures look unlike them
	Channels bool    // light, focus or colour do; of networks with channel attention
	Score    float64 // how near the larger of the two is to that, 0..1; 1: there
}

// Is tells whether one of the two has drifted.
func (d Drift) Is() bool { return d.Features || d.Channels }

// Percentiles of a time.
type Percentiles struct{ P50, P90, P99 time.Duration }

// Stats publishes s with the link's own figures, not retained; without a broker it is dropped.
func (l *Link) Stats(s Stats) {
	type camera struct {
		Name       string           `json:"name"`
		FPS        float64          `json:"fps"`
		Captured   uint64           `json:"captured"`
		Classified uint64           `json:"classified"`
		Skipped    uint64           `json:"skipped"`
		Still      uint64           `json:"still,omitempty"`
		Unknown    *uint64          `json:"unknown,omitempty"`
		Share      *float64         `json:"unknown_share,omitempty"`
		Drift      *bool            `json:"drift,omitempty"`
		DriftScore *float64         `json:"drift_score,omitempty"`
		Infer      map[string]int64 `json:"infer_us"`
		Total      map[string]int64 `json:"total_us"`
	}
	l.mu.Lock()
	m := l.id.Model
	l.knowMachine(s.Machine)
	l.mu.Unlock()
	queue := l.Queue()
	out := struct {
		Schema  string    `json:"schema"`
		Device  string    `json:"device"`
		Stream  string    `json:"stream_id"`
		Boot    string    `json:"boot_id"`
		Time    time.Time `json:"ts"`
		Quality string    `json:"ts_quality"`
		Uptime  float64   `json:"uptime_s"`
		Model   ModelInfo `json:"model"`
		Queue   int       `json:"queue"`         // records without acknowledgement
		Bytes   int64     `json:"queue_bytes"`   // of segments on disk
		Lost    uint64    `json:"queue_dropped"` // numbers that never came, since the start
		Damaged int       `json:"queue_damaged"` // places on disk that were stepped over at the start
		Dropped uint64    `json:"inbound_dropped"`
		Cameras []camera  `json:"cameras"`
		Machine any       `json:"machine,omitempty"`
	}{
		"vggse.stats/1", l.id.Device, l.id.StreamID, l.id.BootID, time.Now().UTC(), l.quality(),
		time.Since(l.started).Round(time.Millisecond).Seconds(),
		m, l.Waiting(), queue.Bytes, queue.Dropped, queue.Damaged, l.missed.Load(), make([]camera, 0, len(s.Cameras)),
		s.Machine,
	}
	for _, c := range s.Cameras {
		told := camera{
			Name: c.Name, FPS: float64(int(c.FPS*100+0.5)) / 100, Captured: c.Captured, Classified: c.Classified,
			Skipped: c.Skipped, Still: c.Still, Infer: c.Infer.micros(), Total: c.Total.micros(),
		}
		if c.Judged {
			share := math.Round(c.UnknownShare*1e4) / 1e4
			told.Unknown, told.Share = &c.Unknown, &share
		}
		if c.Drift.Watched {
			is, score := c.Drift.Is(), math.Round(c.Drift.Score*1e2)/1e2
			told.Drift, told.DriftScore = &is, &score
		}
		out.Cameras = append(out.Cameras, told)
	}
	l.out.set(l.stats, encode(out))
}

// knowMachine notes whether the machine tells a temperature, and announces it where that is news.
// l.mu is held.
func (l *Link) knowMachine(machine any) {
	var told struct {
		Temperatures map[string]float64 `json:"temperature_c"`
	}
	json.Unmarshal(encode(machine), &told) //nolint:errcheck // of another form there is none
	has := len(told.Temperatures) > 0
	if known := l.machine.temperature; known != nil && *known == has {
		return
	}
	l.machine.temperature = &has
	l.announce()
}

func (p Percentiles) micros() map[string]int64 {
	return map[string]int64{"p50": p.P50.Microseconds(), "p90": p.P90.Microseconds(), "p99": p.P99.Microseconds()}
}
