package mqtt

// Update is what the service does about releases, and about a new model on trial, wherever that came
// from. The place that it pulls from is never in it.
type Update struct {
	State   string `json:"state"`   // one of the constants below
	Name    string `json:"name"`    // of the release; empty: none was looked at yet
	Release int64  `json:"release"` // its number; 0: none
	Bytes   int64  `json:"bytes"`   // fetched
	Of      int64  `json:"of"`      // that are to be fetched
	Reason  string `json:"reason"`  // of waiting, shadow, probation or failed, for people; else empty
	Trial   Trial  `json:"trial"`   // of shadow and probation, and of failed behind one; else zero
}

// Trial is what a new model, and the one before it, were found to say of the same pictures.
type Trial struct {
	SHA256  string  `json:"sha256"`  // the digest of the new bundle; empty: none is on trial
	Pairs   int     `json:"pairs"`   // pictures that both answered to
	Common  int     `json:"common"`  // of them: with labels that both know by name
	Agreed  int     `json:"agreed"`  // of those: with the same label
	Changes [2]int  `json:"changes"` // of the label from a picture to the next: of the one before, of the new one
	Unknown [2]int  `json:"unknown"` // of the pairs: without a label
	Latency float64 `json:"latency"` // median of the latencies, new to before; 0: not measured
	Memory  uint64  `json:"memory"`  // most bytes of the new one's process; 0: not measured
}

// Values of Update.State.
const (
	UpdateIdle      = "idle"
	UpdateWaiting   = "waiting" // for the place of the release, which is away, or for the device's turn
	UpdatePulling   = "pulling"
	UpdateChecking  = "checking"
	UpdateShadow    = "shadow"    // a new model answers to live pictures, and publishes nothing yet
	UpdateProbation = "probation" // a new model runs, and has to make good
	UpdateFailed    = "failed"
)

// Update tells how far the pull of a release is, retained.
func (l *Link) Update(u Update) {
	l.mu.Lock()
	l.updating = u
	l.out.set(l.update, l.id.update(u))
	l.mu.Unlock()
	l.out.ring()
}

// Released tells who released the model that answers from now on. It comes before Model.
func (l *Link) Released(r Release) {
	l.mu.Lock()
	l.id.Release = r
	l.out.set(l.update, l.id.update(l.updating))
	l.mu.Unlock()
	l.out.ring()
}

// update is the payload of the update topic.
func (id *Identity) update(u Update) []byte {
	installed := int64(0)
	if u.Name == "" || u.Name == id.Release.Name {
		installed = id.Release.Number
	}
	return encode(struct {
		Schema string `json:"schema"`
		Device string `json:"device"`
		Update
		Installed int64 `json:"installed"` // number of the release of that name that answers; 0: none
	}{"vggse.update/1", id.Device, u, installed})
}

// release is the entity of Home Assistant that shows which release runs, and which there is.
func (d *discovery) release() haComponent {
	return haComponent{
		"platform": "update", "name": "Model release", "state_topic": d.link.topics.update, "icon": "mdi:brain",
		"entity_category": "diagnostic",
		"value_template": "{% set u = value_json %}{% set busy = u.state in ['pulling', 'checking'] %}" +
			"{{ {'installed_version': u.installed | string, " +
			"'latest_version': ([u.installed, u.release] | max) | string, " +
			"'title': u.name or 'model', 'release_summary': u.reason[:255], 'in_progress': busy, " +
			"'update_percentage': (100 * u.bytes / u.of) | round(0) if busy and u.of > 0 else none} | to_json }}",
	}
}
