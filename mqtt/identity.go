package mqtt

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// Identity says who publishes: it stands in every message, and whole in the info topic.
type Identity struct {
	Device   string    // topic level, [A-Za-z0-9_-]+
	Name     string    // for people; empty: Device
	Site     string    // for people
	Version  string    // of the agent
	Commit   string    // of the agent
	BootID   string    // empty: the kernel's
	StreamID string    // of the sequence numbers; empty: the spool's
	Model    ModelInfo // what classifies
	Cameras  []string  // every camera that will ever be named, also disabled ones
	Labels   []string  // the model's, by index
	Unknown  string    // label where no class holds; empty: vision.Unknown
	Release  Release   // who released the model
	Groups   []string  // of the fleet that it belongs to
	Knows    bool      // the model tells frames that show none of its classes
	Updates  bool      // the device takes releases by itself: Home Assistant gets an entity for them
}

// Release says who released the model, and whether anybody must have.
type Release struct {
	Required bool   `json:"signature_required"`  // nothing unsigned is installed or activated
	Bundle   string `json:"bundle,omitempty"`    // digest of what answers, where it is an installed bundle
	SignedBy string `json:"signed_by,omitempty"` // ID of the trusted key; empty: nobody known here
	Name     string `json:"name,omitempty"`      // of the release; empty: it has no statement
	Number   int64  `json:"number,omitempty"`
	Local    bool   `json:"local,omitempty"` // made on this device from that release, and signed by its key
}

// Model says which network answers.
type ModelInfo struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	SHA256    string `json:"sha256"` // of the model file
	Precision string `json:"precision"`
	Provider  string `json:"provider"` // execution provider
}

// levelBytes is the most that the name of a device or a camera has: it stands in every topic.
const levelBytes = 128

var topicLevel = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// reserved are the device's own topics, which no camera may be named after.
var reserved = []string{"available", "info", "health", "stats", "event", "command", "ack", "update"}

// CheckDevice returns why id cannot name a device in topics, or nil.
func CheckDevice(id string) error {
	if len(id) > levelBytes {
		return fmt.Errorf("must have at most %d characters (it is a topic level), got %d", levelBytes, len(id))
	}
	if !topicLevel.MatchString(id) {
		return fmt.Errorf("must be letters, digits, _ and - (it is a topic level), got %q", id)
	}
	return nil
}

// CheckCamera returns why name cannot name a camera in topics, or nil.
func CheckCamera(name string) error {
	if slices.Contains(reserved, name) {
		return fmt.Errorf("%q is a topic of the device itself, choose another", name)
	}
	return CheckDevice(name)
}

func (id *Identity) validate() error {
	if err := CheckDevice(id.Device); err != nil {
		return fmt.Errorf("device.id: %w", err)
	}
	for _, c := range id.Cameras {
		if err := CheckCamera(c); err != nil {
			return fmt.Errorf("camera name: %w", err)
		}
	}
	return nil
}

// fill adds what the machine knows.
func (id *Identity) fill(stream string) {
	if id.Name == "" {
		id.Name = id.Device
	}
	if id.BootID == "" {
		id.BootID = bootID()
	}
	if id.Unknown == "" {
		id.Unknown = vision.Unknown
	}
	if id.StreamID == "" {
		id.StreamID = stream
	}
}

// info is the payload of the info topic.
type info struct {
	Schema   string    `json:"schema"`
	Contract string    `json:"contract"`
	Device   string    `json:"device"`
	Name     string    `json:"name"`
	Site     string    `json:"site"`
	Agent    agentInfo `json:"agent"`
	Model    ModelInfo `json:"model"`
	Release  Release   `json:"release"`
	Labels   []string  `json:"labels"`
	Unknown  string    `json:"unknown"`
	Cameras  []string  `json:"cameras"`
	Groups   []string  `json:"groups,omitempty"`
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
	return encode(info{
		Schema: "vggse.info/1", Contract: contractVersion, Device: id.Device, Name: id.Name, Site: id.Site,
		Agent: agentInfo{id.Version, id.Commit, runtime.Version()}, Model: id.Model,
		Release: id.Release,
		Labels:  notNil(id.Labels), Unknown: id.Unknown, Cameras: notNil(id.Cameras), Groups: id.Groups,
		Host:   hostInfo{host, runtime.GOOS, runtime.GOARCH, runtime.NumCPU()},
		BootID: id.BootID, StreamID: id.StreamID, Started: started.UTC(),
	})
}

// notNil is a list that JSON shows as one.
func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// encode is JSON of a struct of this package, which cannot fail.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("mqtt: " + err.Error())
	}
	return b
}
