package mqtt

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/vggse/vggse-agent/mqtt/contract"
)

// judge sees every packet that a link of this test binary sends, over whatever transport, and holds
// what is published against the contract.
var judge = sync.OnceValue(func() *referee {
	c, err := contract.New(AsyncAPI, map[string]string{"prefix": "vggse", "discovery": "homeassistant"})
	if err != nil {
		panic(err)
	}
	return &referee{Contract: c}
})

type referee struct {
	*contract.Contract
	mu    sync.Mutex
	fouls []string
}

func (r *referee) see(packet []byte) {
	if err := r.Packet(packet); err != nil {
		if os.Getenv(helperBroker) != "" {
			panic(err) // nobody would ask this process later
		}
		r.mu.Lock()
		r.fouls = append(r.fouls, err.Error())
		r.mu.Unlock()
	}
}

// verdict is the exit code of the whole test binary.
func (r *referee) verdict(code int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, foul := range r.fouls {
		if i == 10 {
			fmt.Printf("… and %d more\n", len(r.fouls)-i)
			break
		}
		fmt.Println("against the contract:", foul)
	}
	if len(r.fouls) > 0 {
		return 1
	}
	return code
}

// recordAll makes a link say all that it can say, through a real broker, and returns one message of
// each kind.
func recordAll(t *testing.T) map[string]contract.Message {
	t.Helper()
	m := startMosquitto(t)
	cfg := testConfig(m.url())
	var mu sync.Mutex
	all := make(map[string]contract.Message)
	cfg.tap = func(packet []byte) {
		judge().see(packet)
		p, err := packets.ReadPacket(strings.NewReader(string(packet)))
		if p, ok := p.(*packets.PublishPacket); ok && err == nil {
			mu.Lock()
			defer mu.Unlock()
			_, name, _ := strings.Cut(p.TopicName, "edge01/")
			if strings.HasSuffix(name, "event") {
				name += " " + field[string](t, string(p.Payload), "event_type")
			}
			all[name] = contract.Message{Topic: p.TopicName, QoS: p.Qos, Retain: p.Retain, Payload: p.Payload}
		}
	}
	cfg.Commands.Allow = Commands
	id := testIdentity()
	id.Labels = []string{"bolt", "nut"}
	l, err := NewLink(cfg, id, quiet())
	if err != nil {
		t.Fatal(err)
	}
	l.Handle(&clerk{link: l})
	stop := start(t, l)
	l.CameraStatus("cam01", CameraOnline)
	publish(t, l, "cam01", "gear", 2)
	l.CameraStatus("cam01", CameraOffline)
	eventually(t, hang, "connected", l.Connected)
	l.Stats(Stats{Cameras: []CameraStats{{Name: "cam01", FPS: 14.99, Infer: Percentiles{P50: time.Millisecond},
		Judged: true, Unknown: 3, UnknownShare: 0.25, Drift: Drift{Watched: true, Channels: true, Score: 1}}}})
	l.Enabled("cam01", true)
	l.Threshold("cam01", 0.6)
	l.UnknownBelow("cam01", 0.05)
	l.Update(Update{State: UpdateWaiting, Name: "parts", Release: 7, Bytes: 1 << 20, Of: 1 << 24, Reason: "429",
		Trial: Trial{SHA256: strings.Repeat("0f", 32), Pairs: 9, Common: 8, Agreed: 7, Changes: [2]int{1, 2}}})
	other := testIdentity().Model
	other.Version = "2"
	l.Model(other, []string{"bolt", "nut"})
	l.ModelRefused(strings.Repeat("0f", 32), "it answers with no numbers")
	l.ModelConfirmed(strings.Repeat("0f", 32))
	l.mu.Lock()
	l.clock.offset += time.Hour // as if the clock had been set back
	l.mu.Unlock()
	l.checkClock()
	// a link subscribes before it publishes: the broker takes commands from the first
	// acknowledgement on
	eventually(t, hang, "acknowledged", func() bool { return l.Waiting() == 0 })
	pub(t, m, "command", order("1", "snapshot", `{"camera":"cam01"}`, 0))
	eventually(t, hang, "the snapshot and its answer", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return all["command/response"].Payload != nil && all["cam01/snapshot"].Payload != nil
	})
	pub(t, m, "command", "nonsense") // in its turn, for the last answer is the one that is recorded
	eventually(t, hang, "the refusal", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(string(all["command/response"].Payload), "rejected")
	})
	eventually(t, hang, "all acknowledged", func() bool { return l.Waiting() == 0 })
	stop()
	mu.Lock()
	defer mu.Unlock()
	return all
}

// A message with another QoS, another retain flag, a missing, additional, renamed or changed field
// is none of the contract: otherwise the judge would see nothing.
func TestContractIsClosed(t *testing.T) {
	c := judge()
	kinds := recordAll(t)
	for _, kind := range slices.Concat(deviceEvents[:2], deviceEvents[3:]) { // queue_dropped has tests of its own
		if kinds["event "+kind].Payload == nil {
			t.Errorf("no event %s", kind)
		}
	}
	if len(kinds) < 18 {
		t.Errorf("only %d kinds of messages", len(kinds))
	}
	for name, m := range kinds {
		if err := c.Sent(m); err != nil {
			t.Errorf("%s as it was sent: %v", name, err)
		}
		bad := func(what string, m contract.Message) {
			if c.Sent(m) == nil {
				t.Errorf("%s with %s is let through: %s", name, what, m.Payload)
			}
		}
		other := m
		other.QoS = 1 - m.QoS
		bad("another QoS", other)
		other = m
		other.Retain = !m.Retain
		bad("another retain flag", other)
		other = m
		other.Topic += "x"
		bad("another topic", other)
		if m.Payload == nil || m.Payload[0] != '{' {
			if !strings.HasSuffix(m.Topic, "classification") && name != "" { // any text is a label
				other = m
				other.Payload = append([]byte("x"), m.Payload...)
				bad("another text", other)
			}
			continue
		}
		var whole map[string]any
		if err := json.Unmarshal(m.Payload, &whole); err != nil {
			t.Fatal(err)
		}
		mutate(whole, "", func(what string) {
			other := m
			other.Payload = encode(whole)
			bad(what, other)
		})
	}
}

// mutate changes one thing after the other in a JSON object, calls show, and takes the change back.
// Fields of objects with names of their own choice (health's parts, temperatures, components) may
// come and go.
func mutate(object map[string]any, path string, show func(what string)) {
	open := strings.HasSuffix(path, "parts.") || strings.HasSuffix(path, "components.")
	if !open {
		object["surplus"] = 1
		show("a field too many in " + path)
		delete(object, "surplus")
	}
	for key, v := range object {
		at := path + key
		if !open && !optional(at) {
			delete(object, key)
			show("no " + at)
			object[key+"_"] = v
			show("another name for " + at)
			delete(object, key+"_")
		}
		object[key] = []any{[]any{}} // no field is a list of lists
		show("another kind of " + at)
		object[key] = nil
		show("null for " + at)
		object[key] = v
		switch v := v.(type) {
		case map[string]any:
			mutate(v, at+".", show)
		case []any:
			if len(v) > 0 {
				if inner, ok := v[0].(map[string]any); ok {
					mutate(inner, at+".", show)
				}
			}
		case string:
			if key == "schema" || key == "event_type" || key == "status" || key == "overall" || key == "ts" ||
				key == "platform" {
				object[key] = v + "x"
				show("another " + at)
				object[key] = v
			}
		}
	}
}

// optional names the fields that a message may do without.
func optional(path string) bool {
	for _, suffix := range []string{"parts.cameras.reason", "records", "message", "suggested_area"} {
		if strings.HasSuffix(path, suffix) {
			return true
		}
	}
	return strings.HasPrefix(path, "components.") && !strings.HasSuffix(path, ".platform") ||
		strings.HasPrefix(path, "machine")
}
