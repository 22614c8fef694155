package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/release"
)

// Schemas of what is retained.
const (
	desiredSchema = "vggse.desired/1"
	rolloutSchema = "vggse.rollout/1"
	haltSchema    = "vggse.halt/1"
)

// payloadLimit is the longest message that is read, bytes.
const payloadLimit = 16 << 10

// longestSpread is the longest time in which the devices of a wave begin.
const longestSpread = 24 * time.Hour

// Topics are those of one group.
type Topics struct{ Model, Rollout, Halt string }

// Base is the level above all groups: beside the topic prefix of the devices.
func Base(prefix string) string { return strings.Trim(prefix, "/") + "-fleet" }

// TopicsOf are the topics of a group; prefix is mqtt.topic_prefix.
func TopicsOf(prefix, group string) Topics {
	base := Base(prefix) + "/" + group + "/"
	return Topics{base + "model", base + "rollout", base + "halt"}
}

// Target is a release that devices shall run.
type Target struct {
	Name    string `json:"name"`
	Release int64  `json:"release"`
	Digest  string `json:"digest"` // of the bundle: SHA-256 of its model.yaml
}

// String is the target as people name it.
func (t Target) String() string { return fmt.Sprintf("%s:%d", t.Name, t.Release) }

func (t Target) validate() error {
	switch {
	case release.CheckName(t.Name) != nil:
		return fmt.Errorf("name: %w", release.CheckName(t.Name))
	case t.Release < 1:
		return errors.New("release: must be 1 or more")
	case !bundle.IsDigest(t.Digest):
		return errors.New("digest: must be 64 hexadecimal digits")
	}
	return nil
}

// Desired is what the devices of a group shall run.
type Desired struct {
	Schema string `json:"schema"`
	ID     string `json:"id"` // of the rollout
	Target
	UpTo   uint64 `json:"up_to"`    // devices whose Draw is not above it; the others stay as they are
	Since  string `json:"since"`    // RFC 3339: when the last of them were asked
	Spread int64  `json:"spread_s"` // seconds after it in which each begins at its own time
	Halted bool   `json:"halted"`   // who has not begun does not
}

// ParseDesired reads the desired state of a group: no other field, nothing out of bounds.
func ParseDesired(payload []byte) (*Desired, error) {
	d := &Desired{}
	if err := parse(payload, d); err != nil {
		return nil, err
	}
	switch {
	case d.Schema != desiredSchema:
		return nil, fmt.Errorf("schema: %.40q is not %s: update the agent", d.Schema, desiredSchema)
	case len(d.ID) == 0 || len(d.ID) > 200:
		return nil, errors.New("id: must have 1 to 200 characters")
	case d.Spread < 0 || d.Spread > int64(longestSpread.Seconds()):
		return nil, fmt.Errorf("spread_s: must be 0 to %d", int64(longestSpread.Seconds()))
	}
	if _, err := time.Parse(time.RFC3339, d.Since); err != nil {
		return nil, errors.New("since: is no time")
	}
	return d, d.validate()
}

// parse reads one JSON object strictly.
func parse(payload []byte, into any) error {
	if len(payload) > payloadLimit {
		return fmt.Errorf("has %d bytes, at most %d are possible", len(payload), payloadLimit)
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("is not what vggse-agent writes: %w", err)
	}
	if dec.More() {
		return errors.New("goes on behind its end")
	}
	return nil
}

// encode is JSON of a struct of this package, which cannot fail.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("fleet: " + err.Error())
	}
	return text
}

// everybody is above every Draw.
const everybody = uint64(1<<53 - 1)

// Draw is the number that a device draws in a rollout: the same everywhere, and another in the next
// rollout, so that it is not always the same who goes first.
func Draw(id, device string) uint64 {
	sum := sha256.Sum256([]byte(id + "\x00" + device))
	return binary.BigEndian.Uint64(sum[:8]) & everybody // a JSON number holds it
}

// Asks reports whether the device is one of those that shall move now.
func (d *Desired) Asks(device string) bool { return !d.Halted && Draw(d.ID, device) <= d.UpTo }

// Wait is how long the device has to wait at now for its turn, which it draws from its own name. A
// clock that is wrong makes it wait no longer than the spread.
func (d *Desired) Wait(device string, now time.Time) time.Duration {
	spread := time.Duration(d.Spread) * time.Second
	turn := time.Duration(float64(spread) * float64(Draw("turn "+d.ID, device)) / math.Exp2(53))
	since, err := time.Parse(time.RFC3339, d.Since)
	if err != nil {
		return turn
	}
	return min(max(since.Add(turn).Sub(now), 0), turn)
}

// CheckGroup refuses what cannot name a group in a topic.
func CheckGroup(name string) error { return mqtt.CheckDevice(name) }
