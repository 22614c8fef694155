package watch

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/vggse/vggse-agent/mqtt"
)

const (
	mostEvents  = 50   // latest events kept
	mostCameras = 1000 // cameras shown: the rest of the broker's world may be endless
	mostText    = 64   // characters of a foreign word
)

// Board is what a table shows: the last word of every camera of every device.
type Board struct {
	broker, prefix string    // as they are shown
	since          time.Time // of the subscription; zero: it does not stand
	connected      bool
	trouble        string
	devices        map[string]*deviceRow
	cameras        int
	events         []event // oldest first
	messages       int
	second         time.Time         // when rate was last counted
	rate           float64           // messages a second
	colours        map[string]string // of labels, in the order of their first sight
}

type deviceRow struct {
	id, name, availability string
	model                  string // name, version, precision and provider
	problem                string // from the health topic; empty: none
	speaks                 bool   // more than "available" came since the subscription stands
	cameras                map[string]*cameraRow
}

type cameraRow struct {
	name, status, label string
	score               float64
	infer, total        int64 // µs
	fps                 float64
	frame               uint64
	captured            time.Time // of that frame
	seen                time.Time // arrival of the last result
	changed             time.Time // of the label
	trail               []string  // labels of the latest results, newest last
}

type event struct {
	at          time.Time
	where       string // device, or device/camera
	what        string // empty: the label changed
	from, label string // the labels of a change
}

// watchResult and watchInfo are what watch reads of the payloads; other versions may say more.
type result struct {
	Label   string    `json:"label"`
	Frame   uint64    `json:"frame_id"`
	Time    time.Time `json:"ts"`
	Model   mqtt.ModelInfo
	Top     []class `json:"top"`
	Latency struct {
		Infer int64 `json:"infer"`
		Total int64 `json:"total"`
	} `json:"latency_us"`
}

type class struct {
	Label string  `json:"label"`
	P     float64 `json:"p"`
}

// score is that of the stable label, else of the best class.
func (r *result) score() float64 {
	for _, c := range r.Top {
		if c.Label == r.Label {
			return c.P
		}
	}
	if len(r.Top) > 0 {
		return r.Top[0].P
	}
	return 0
}

// New is an empty board for what the broker at the URL carries below the topic prefix.
func New(brokerURL, prefix string) *Board {
	return &Board{
		broker: mqtt.Shown(brokerURL), prefix: prefix, trouble: "connecting",
		devices: make(map[string]*deviceRow), colours: make(map[string]string),
	}
}

// Connection takes a change of the connection, now: nil is up.
func (b *Board) Connection(err error, now time.Time) {
	b.connected, b.trouble, b.since = err == nil, "", time.Time{}
	for _, d := range b.devices {
		d.speaks = false
	}
	if err == nil {
		b.since = now
	}
	if err != nil {
		b.trouble = printable(err.Error())
	}
}

// Patience is for how long a subscription may stand until Hint says why it may bring nothing.
const Patience = 5 * time.Second

// Hint is what may be wrong where a subscription stands and brings nothing, or of no device more
// than whether it is there: a broker accepts filters of which its access rules let nothing pass.
// Empty: nothing.
func (b *Board) Hint(now time.Time) string {
	if b.since.IsZero() || now.Sub(b.since) < Patience {
		return ""
	}
	for _, d := range b.devices {
		if d.speaks {
			return ""
		}
	}
	if len(b.devices) == 0 {
		return fmt.Sprintf("nothing below %s/ yet: is an agent running, and may this user read %s/#?", b.prefix,
			b.prefix)
	}
	return fmt.Sprintf("only \"available\" comes below %s/: the broker's access rules probably do not let this user "+
		"read %s/#", b.prefix, b.prefix)
}

// Apply takes a message that arrived now; what it does not know it only counts.
func (b *Board) Apply(m mqtt.Message, now time.Time) {
	b.messages++
	rest, ok := strings.CutPrefix(m.Topic, b.prefix+"/")
	if !ok {
		return
	}
	levels := strings.Split(rest, "/")
	for i := range levels {
		levels[i] = printable(levels[i])
	}
	switch len(levels) {
	case 2:
		if d := b.device(levels[0]); d != nil {
			d.speaks = d.speaks || levels[1] != "available"
			b.applyDevice(d, levels[1], m, now)
		}
	case 3:
		if d := b.device(levels[0]); d != nil {
			d.speaks = true
			b.applyCamera(d, levels[1], levels[2], m, now)
		}
	}
}

func (b *Board) device(id string) *deviceRow {
	d := b.devices[id]
	if d == nil && len(b.devices) < mostCameras {
		d = &deviceRow{id: id, cameras: make(map[string]*cameraRow)}
		b.devices[id] = d
	}
	return d
}

func (b *Board) applyDevice(d *deviceRow, topic string, m mqtt.Message, now time.Time) {
	switch topic {
	case "available":
		d.availability = printable(string(m.Payload))
	case "info":
		var info struct {
			Name  string         `json:"name"`
			Model mqtt.ModelInfo `json:"model"`
		}
		if json.Unmarshal(m.Payload, &info) == nil {
			d.name, d.model = printable(info.Name), describe(info.Model)
		}
	case "health":
		d.problem = problem(m.Payload)
	case "event":
		b.event(d.id, m, now)
	}
}

// problem is the first complaint of a health payload, empty where all is well.
func problem(payload []byte) string {
	var h struct {
		Overall string                    `json:"overall"`
		Parts   map[string]mqtt.Condition `json:"parts"`
	}
	if json.Unmarshal(payload, &h) != nil || h.Overall == mqtt.OK {
		return ""
	}
	names := make([]string, 0, len(h.Parts))
	for name, c := range h.Parts {
		if c.Status != mqtt.OK {
			names = append(names, printable(name+": "+c.Reason))
		}
	}
	slices.Sort(names)
	return strings.Join(names, "; ")
}

func (b *Board) applyCamera(d *deviceRow, camera, topic string, m mqtt.Message, now time.Time) {
	c := d.cameras[camera]
	if c == nil {
		if topic != "status" && topic != "classification" && topic != "result" || b.cameras >= mostCameras {
			return
		}
		c = &cameraRow{name: camera}
		d.cameras[camera] = c
		b.cameras++
	}
	switch topic {
	case "status":
		c.status = printable(string(m.Payload))
	case "classification":
		c.relabel(printable(string(m.Payload)), now)
	case "result":
		var r result
		if json.Unmarshal(m.Payload, &r) == nil {
			c.result(&r, now)
			d.model = describe(r.Model)
		}
	case "event":
		b.event(d.id+"/"+camera, m, now)
	}
}

func (c *cameraRow) relabel(label string, now time.Time) {
	if label != c.label {
		c.label, c.changed = label, now
	}
}

// result takes one result. Frames a second are told by the numbers and times of captured frames,
// because not every frame becomes a result.
func (c *cameraRow) result(r *result, now time.Time) {
	if between := r.Time.Sub(c.captured).Seconds(); c.frame > 0 && r.Frame > c.frame && between > 0 {
		fps := float64(r.Frame-c.frame) / between
		if c.fps == 0 {
			c.fps = fps
		}
		c.fps += 0.2 * (fps - c.fps)
	} else if r.Frame < c.frame {
		c.fps = 0 // the agent began anew
	}
	c.frame, c.captured, c.seen = r.Frame, r.Time, now
	c.relabel(printable(r.Label), now)
	c.score, c.infer, c.total = min(max(r.score(), 0), 1), r.Latency.Infer, r.Latency.Total
	c.trail = append(c.trail, c.label)
	c.trail = c.trail[max(0, len(c.trail)-trailMax):]
}

func (b *Board) event(where string, m mqtt.Message, now time.Time) {
	var e struct {
		Kind     string    `json:"event_type"`
		Time     time.Time `json:"ts"`
		Label    string    `json:"label"`
		Previous string    `json:"previous"`
		Records  uint64    `json:"records"`
	}
	if json.Unmarshal(m.Payload, &e) != nil {
		return
	}
	out := event{at: e.Time.Local(), where: where}
	if e.Time.IsZero() {
		out.at = now
	}
	switch e.Kind {
	case "class_changed":
		out.from, out.label = printable(e.Previous), printable(e.Label)
	case "queue_dropped":
		out.what = fmt.Sprintf("%d records dropped", e.Records)
	default:
		out.what = strings.ReplaceAll(printable(e.Kind), "_", " ")
	}
	b.events = append(b.events, out)
	b.events = b.events[max(0, len(b.events)-mostEvents):]
}

// printable makes a foreign word fit to be shown: nothing that a terminal would obey, and not too
// long.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "�")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > mostText {
		s = string(r[:mostText-1]) + "…"
	}
	return s
}
