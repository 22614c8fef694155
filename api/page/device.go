package page

// Device is what the view of the device shows.
type Device struct {
	Sentence string      `json:"sentence"` // how the agent fares, in one line
	Uptime   float64     `json:"uptime"`   // seconds
	Model    Model       `json:"model"`
	Parts    []Part      `json:"parts"` // how they fare
	Broker   Broker      `json:"broker"`
	Queue    Queue       `json:"queue"`
	Cameras  []Counts    `json:"cameras"`
	Machine  any         `json:"machine"` // its telemetry, as on MQTT
	Models   []Installed `json:"models"`
	// ModelNote says why Models is empty: model.bundle where that is configured, or what went wrong.
	ModelNote string `json:"model_note,omitempty"`
	Viewers   int    `json:"viewers"`
	Update    Update `json:"update"`
}

// Update is what the service does about releases; its place is not told.
type Update struct {
	State     string `json:"state"` // as on MQTT; empty: it looks for none
	Name      string `json:"name,omitempty"`
	Release   int64  `json:"release,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"`
	Of        int64  `json:"of,omitempty"`
	Installed int64  `json:"installed,omitempty"` // number of the release that answers
	Reason    string `json:"reason,omitempty"`    // of waiting, shadow, probation or failed, for people
	SHA256    string `json:"sha256,omitempty"`    // of a new model that is compared or on trial, or was
	Pairs     int    `json:"pairs,omitempty"`     // pictures that it and the model before have answered to
	Common    int    `json:"common,omitempty"`    // of them: with labels that both know
	Agreed    int    `json:"agreed,omitempty"`    // of those: with the same label
}

// Model is what classifies; zero while it is opened.
type Model struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	SHA256    string   `json:"sha256"`
	Precision string   `json:"precision"`
	Provider  string   `json:"provider"`
	Why       string   `json:"why"`   // this precision
	Tried     []string `json:"tried"` // providers that could not be used, with the reason
	Runtime   string   `json:"runtime"`
}

// Part is how one part of the device fares.
type Part struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, degraded or failed
	Reason string `json:"reason,omitempty"`
}

// Broker is where messages go.
type Broker struct {
	URL       string `json:"url"` // without credentials
	Connected bool   `json:"connected"`
}

// Queue is what waits for the broker.
type Queue struct {
	Records int    `json:"records"`
	Bytes   int64  `json:"bytes"`
	Dropped uint64 `json:"dropped"`
}

// Counts are the frames of one stream since the start.
type Counts struct {
	Name       string `json:"name"`
	Captured   uint64 `json:"captured"`
	Classified uint64 `json:"classified"`
	Skipped    uint64 `json:"skipped"`
	// Judged are those of Classified of which the network can tell whether they show one of its
	// classes, Unknown those that show none, by decide.unknown_below.
	Judged  uint64 `json:"judged"`
	Unknown uint64 `json:"unknown"`
	// Drift: pictures look unlike those that the model was calibrated or taught with.
	Drift bool `json:"drift,omitempty"`
}

// Installed is one bundle of the device.
type Installed struct {
	SHA256  string `json:"sha256"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Active  bool   `json:"active"`
	OnTrial bool   `json:"on_trial"`
	Local   bool   `json:"local,omitempty"`   // made on this device from a signed one
	Before  bool   `json:"before"`            // was active before the active one: rolling back leads to it
	Refused string `json:"refused,omitempty"` // why
}
