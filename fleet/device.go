package fleet

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/mqtt"
)

// Device is what a broker says of one device. Texts are the device's own words.
type Device struct {
	ID       string   `json:"device"`
	Site     string   `json:"site,omitempty"`
	Groups   []string `json:"groups"`
	Online   bool     `json:"online"`
	Health   string   `json:"health"` // ok, degraded or failed; empty: nothing was heard
	Trouble  string   `json:"trouble,omitempty"`
	Model    string   `json:"model"` // name and version
	Name     string   `json:"name"`  // of the release that answers; empty: it has none
	Release  int64    `json:"release"`
	Bundle   string   `json:"bundle"` // digest of what answers; empty: no installed bundle
	SignedBy string   `json:"signed_by"`
	Local    bool     `json:"local,omitempty"`
	State    string   `json:"state"` // of its updates, as D/update; empty: nothing was heard
	Wanted   Target   `json:"-"`     // that the state is about
	Reason   string   `json:"reason,omitempty"`
	sick     bool     // model or engine is not well
}

// board holds the newest message of each topic, and reads it when somebody asks: a broker tells
// thousands at once, faster than JSON is read.
type board struct {
	prefix  string
	bridges string                       // topic of the states of bridges, but for the site
	down    map[string]bool              // sites whose bridge is cut: nobody knows how their devices fare
	raw     map[string]map[string][]byte // by device, then by the last level of the topic
	read    map[string]*Device           // what was read of it; nil: it has changed since
}

func newBoard(prefix string) *board {
	return &board{prefix: strings.Trim(prefix, "/") + "/", bridges: Base(prefix) + "/-/bridges/",
		down: make(map[string]bool), raw: make(map[string]map[string][]byte),
		read: make(map[string]*Device)}
}

// filters are what a board wants to hear.
func (b *board) filters() []string {
	return []string{b.bridges + "+", b.prefix + "+/available", b.prefix + "+/info", b.prefix + "+/health",
		b.prefix + "+/update"}
}

// mostDevices are looked at: the rest of a broker's world may be endless.
const mostDevices = 100_000

// take keeps a message, and reports whether it is one of a device.
func (b *board) take(m mqtt.Message) bool {
	if site, ok := strings.CutPrefix(m.Topic, b.bridges); ok {
		if len(b.down) < mostDevices {
			b.down[site] = string(m.Payload) == "0"
			clear(b.read)
		}
		return true
	}
	rest, ok := strings.CutPrefix(m.Topic, b.prefix)
	id, what, two := strings.Cut(rest, "/")
	if !ok || !two || mqtt.CheckDevice(id) != nil {
		return false
	}
	if b.raw[id] == nil {
		if len(b.raw) >= mostDevices {
			return true
		}
		b.raw[id] = make(map[string][]byte)
	}
	if string(b.raw[id][what]) != string(m.Payload) || len(m.Payload) == 0 {
		b.raw[id][what] = m.Payload
		b.read[id] = nil
	}
	return true
}

// devices are those of a group, by name; of an empty group all.
func (b *board) devices(group string) []*Device {
	var all []*Device
	for _, id := range slices.Sorted(maps.Keys(b.raw)) {
		if b.read[id] == nil {
			d := readDevice(id, b.raw[id])
			if d.Online && b.down[d.Site] {
				d.Online, d.Trouble = false, "the bridge of its site is cut"
			}
			b.read[id] = d
		}
		if d := b.read[id]; group == "" || slices.Contains(d.Groups, group) {
			all = append(all, d)
		}
	}
	return all
}

// readDevice makes a device of its messages. What cannot be read is not there.
func readDevice(id string, raw map[string][]byte) *Device {
	d := &Device{ID: id, Groups: []string{}, Online: string(raw["available"]) == mqtt.Online}
	var info struct {
		Model   mqtt.ModelInfo
		Release mqtt.Release
		Groups  []string
		Site    string
	}
	if json.Unmarshal(raw["info"], &info) == nil {
		d.Model = strings.TrimSpace(info.Model.Name + " " + info.Model.Version)
		d.Name, d.Release, d.Bundle = info.Release.Name, info.Release.Number, info.Release.Bundle
		d.SignedBy, d.Local = info.Release.SignedBy, info.Release.Local
		d.Site, d.Groups = info.Site, append(d.Groups, info.Groups...)
	}
	var health struct {
		Overall string
		Parts   map[string]mqtt.Condition
	}
	if json.Unmarshal(raw["health"], &health) == nil {
		d.Health = health.Overall
		for _, part := range slices.Sorted(maps.Keys(health.Parts)) {
			c := health.Parts[part]
			if c.Status == mqtt.OK {
				continue
			}
			d.Trouble = cmp.Or(d.Trouble, part+": "+c.Reason)
			d.sick = d.sick || part == "model" || part == "engine"
		}
	}
	var update struct {
		mqtt.Update
		Digest string
	}
	if json.Unmarshal(raw["update"], &update) == nil {
		d.State, d.Reason = update.State, update.Reason
		d.Wanted = Target{Name: update.Name, Release: update.Release}
	}
	return d
}

// standing is how a device stands to a target.
type standing string

const (
	moved   standing = "moved"
	busy    standing = "busy"    // on its way: it pulls, checks, has to make good, or waits for its turn
	waiting standing = "waiting" // nothing was heard of it yet
	failed  standing = "failed"
)

// to is how the device stands to the target, and why where it failed. late is that its time is over:
// then who is away, or has not begun, has failed, too.
func (d *Device) to(t Target, late bool) (s standing, why string) {
	about := d.Wanted.Name == t.Name && d.Wanted.Release == t.Release
	switch {
	case d.Bundle == t.Digest && d.sick:
		return failed, d.Trouble
	case d.Bundle == t.Digest && late && !d.Online:
		return failed, "offline since"
	case d.Bundle == t.Digest && d.Online && d.State == mqtt.UpdateProbation:
		return busy, d.Reason
	case d.Bundle == t.Digest:
		return moved, ""
	case about && d.State == mqtt.UpdateFailed:
		return failed, d.Reason
	case about && d.Online && d.State != mqtt.UpdateIdle && d.State != "":
		return busy, d.Reason
	case late && !d.Online:
		return failed, "offline"
	case late:
		return failed, "has not begun"
	}
	return waiting, ""
}
