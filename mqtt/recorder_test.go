package mqtt

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/vggse/vggse-agent/mqtt/broker"
)

// arrival is one record as the broker got it.
type arrival struct {
	seq    uint64
	late   bool
	result int64         // its frame; -1: an event
	sum    uint32        // of the payload but for what tells of lateness
	event  string        // queue_dropped, whole; else empty
	after  time.Duration // since the time that it tells
}

// arrivalOf reads a payload; ok is false for what is no record.
func arrivalOf(payload []byte) (a arrival, ok bool) {
	m := struct {
		Seq   uint64    `json:"seq"`
		Kind  string    `json:"event_type"`
		Late  bool      `json:"redelivered"`
		Frame int64     `json:"frame_id"`
		Time  time.Time `json:"ts"`
	}{Frame: -1}
	if json.Unmarshal(payload, &m) != nil || m.Seq == 0 {
		return a, false
	}
	same, _, _ := strings.Cut(string(payload), `,"redelivered":`)
	a = arrival{seq: m.Seq, late: m.Late, result: m.Frame, sum: crc32.ChecksumIEEE([]byte(same)),
		after: time.Since(m.Time)}
	if m.Kind == "queue_dropped" {
		a.event = string(payload)
	}
	return a, true
}

// recorder is a hook of a broker that remembers every record before it is acknowledged: in memory,
// or, for a broker that is going to be killed, as a line of a file.
type recorder struct {
	mochi.HookBase
	mu  sync.Mutex
	all []arrival
	out io.Writer // nil: in memory
}

func (*recorder) ID() string { return "recorder" }

func (*recorder) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck || b == mochi.OnPublish
}

func (*recorder) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*recorder) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

func (r *recorder) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	a, ok := arrivalOf(p.Payload)
	if !ok {
		return p, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.out == nil {
		r.all = append(r.all, a)
		return p, nil
	}
	_, err := fmt.Fprintf(r.out, "%d %t %d %d %d %s\n", a.seq, a.late, a.result, a.sum, a.after, a.event)
	return p, err
}

// arrivals are all so far.
func (r *recorder) arrivals() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// events lists the queue_dropped events that came, each once.
func (r *recorder) events() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return eventsOf(r.all)
}

func eventsOf(arrivals []arrival) (all []string) {
	seen := make(map[uint64]bool)
	for _, a := range arrivals {
		if a.event != "" && !seen[a.seq] {
			seen[a.seq] = true
			all = append(all, a.event)
		}
	}
	return all
}

// serveHook starts a broker with a hook.
func serveHook(r mochi.Hook, l net.Listener) (*mochi.Server, error) {
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = broker.MaxPacket
	server := mochi.New(&mochi.Options{Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(r, nil); err != nil {
		return nil, err
	}
	if err := server.AddListener(listeners.NewNet("t", l)); err != nil {
		return nil, err
	}
	return server, server.Serve()
}

// startRecorder runs one in this process until the test ends.
func startRecorder(t testing.TB) (*recorder, string) {
	t.Helper()
	r := new(recorder)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := serveHook(r, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return r, l.Addr().String()
}

// helperArrivals, set in the environment beside helperBroker, makes the test binary a broker on
// that address which appends what arrives to this file.
const helperArrivals = "MQTT_TEST_HELPER_ARRIVALS"

// recordForever is a broker that is going to be killed.
func recordForever(addr, path string) int {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			if _, err = serveHook(&recorder{out: out}, l); err == nil {
				fmt.Println("ready")
				select {}
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
