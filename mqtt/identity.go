package mqtt

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"
)

// Identity says who publishes: it stands in every message, and whole in the info topic.
type Identity struct {
	Device   string   // topic level, [A-Za-z0-9_-]+
	Name     string   // for people; empty: Device
	Site     string   // for people
	Version  string   // of the agent
	Commit   string   // of the agent
	BootID   string   // empty: the kernel's
	StreamID string   // of the sequence numbers; empty: a new one
	Model    Model    // what classifies
	Cameras  []string // every camera that will ever be named, also disabled ones
}

// Model says which network answers.
type Model struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	SHA256    string `json:"sha256"` // of the model file
	Precision string `json:"precision"`
	Provider  string `json:"provider"` // execution provider
}

var topicLevel = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// reserved are the device's own topics, which no camera may be named after.
var reserved = []string{"available", "info", "health", "stats", "event", "command", "ack"}

func (id *Identity) validate() error {
	if !topicLevel.MatchString(id.Device) {
		return fmt.Errorf("device.id: must be letters, digits, _ and -, got %q", id.Device)
	}
	for _, c := range id.Cameras {
		if !topicLevel.MatchString(c) || slices.Contains(reserved, c) {
			return fmt.Errorf("camera name %q cannot be a topic level: use letters, digits, _ and -, and none of %v", c, reserved)
		}
	}
	return nil
}

// fill adds what the machine knows.
func (id *Identity) fill() {
	if id.Name == "" {
		id.Name = id.Device
	}
	if id.BootID == "" {
		id.BootID = bootID()
	}
	if id.StreamID == "" {
		id.StreamID = newUUID()
	}
}

// newUUID is a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// info is the payload of the info topic.
type info struct {
	Schema   string    `json:"schema"`
	Device   string    `json:"device"`
	Name     string    `json:"name"`
	Site     string    `json:"site"`
	Agent    agentInfo `json:"agent"`
	Model    Model     `json:"model"`
	Cameras  []string  `json:"cameras"`
	Host     hostInfo  `json:"host"`
	BootID   string    `json:"boot_id"`
	StreamID string    `json:"stream_id"`
	Started  time.Time `json:"started"`
}

type agentInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

type hostInfo struct {
	Name string `json:"name"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
}

func (id *Identity) info(started time.Time) []byte {
	host, _ := os.Hostname() // an unknown name is an empty one
	cameras := id.Cameras
	if cameras == nil {
		cameras = []string{}
	}
	return encode(info{
		Schema: "vggse.info/1", Device: id.Device, Name: id.Name, Site: id.Site,
		Agent: agentInfo{id.Version, id.Commit, runtime.Version()}, Model: id.Model, Cameras: cameras,
		Host:   hostInfo{host, runtime.GOOS, runtime.GOARCH, runtime.NumCPU()},
		BootID: id.BootID, StreamID: id.StreamID, Started: started.UTC(),
	})
}

// encode is JSON of a struct of this package, which cannot fail.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("mqtt: " + err.Error())
	}
	return b
}
