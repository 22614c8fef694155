package mqtt

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/model"
)

// Link is the way of decisions to one broker. Its methods may be called from any goroutine, before and
// while Run runs; none of them waits for the network.
type Link struct {
	cfg     Config
	id      Identity
	broker  *url.URL
	log     *slog.Logger
	topics  topics
	started time.Time

	connected atomic.Bool
	out       *outbox
	available *state
	stats     *state
	health    health

	mu      sync.Mutex // guards what follows; taken before out.mu
	seq     uint64     // of the last record
	lanes   map[string]*lane
	opening []byte // of the device's own events
	clock   clock
}

// lane is one camera's part of the topic tree, and what was last said there.
type lane struct {
	name           string
	status         *state
	classification *state
	result, event  string // topics
	resultOpening  []byte
	eventOpening   []byte
	gate           gate
	label          string // as published
	now            string // status as told; empty: not yet
	wasLost        bool   // told as camera_lost, and not yet as restored
}

// NewLink makes a Link to the broker of cfg, which must not be Embedded (start it, and give its URL).
// It reads the password and the certificates once, to tell now what would fail later; it connects in Run.
func NewLink(cfg Config, id Identity, log *slog.Logger) (*Link, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	broker, err := ParseBroker(cfg.Broker)
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	if broker.Scheme == Embedded {
		return nil, fmt.Errorf("mqtt: mqtt.broker: start the embedded broker first, and give its URL")
	}
	if err := id.validate(); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	if _, err := cfg.password(); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	if _, err := cfg.TLS.load(broker.Hostname()); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	id.fill()
	cfg.ClientID = cmp.Or(cfg.ClientID, "vggse-"+id.Device)
	l := &Link{
		cfg: cfg, id: id, broker: broker, log: log, topics: newTopics(cfg.TopicPrefix, id.Device), started: time.Now(),
		out: newOutbox(queueSlots), lanes: make(map[string]*lane, len(id.Cameras)), opening: id.opening("vggse.event/1", ""),
	}
	l.furnish()
	return l, nil
}

// furnish makes every topic and gives the retained ones what is true before the first decision.
func (l *Link) furnish() {
	l.available = l.out.add(l.topics.available, 1, true)
	l.available.set([]byte(online))
	l.out.add(l.topics.info, 1, true).set(l.id.info(l.started))
	for _, name := range l.id.Cameras {
		base := l.topics.base + name + "/"
		c := &lane{
			name:   name,
			status: l.out.add(base+"status", 1, true), classification: l.out.add(base+"classification", 1, true),
			result: base + "result", event: base + "event",
			resultOpening: l.id.opening("vggse.result/1", name), eventOpening: l.id.opening("vggse.event/1", name),
			gate: gate{Policy: l.cfg.Publish}, label: model.Unknown,
		}
		c.status.set([]byte(offline))
		c.classification.set([]byte(c.label))
		l.lanes[name] = c
	}
	l.health.state = l.out.add(l.topics.health, 1, true)
	l.stats = l.out.add(l.topics.stats, 0, false)
	l.checkHealth()
}

// Publish takes a copy of what d says that is worth saying, under the policy of the configuration: the
// label on change, an event on change, a result. It keeps nothing of d, never waits for the network,
// and allocates nothing once its memory has grown; where the queue is full, the oldest record makes room.
func (l *Link) Publish(_ context.Context, d *model.Decision) error {
	now := time.Now()
	l.mu.Lock()
	c := l.lanes[d.Camera]
	if c == nil {
		l.mu.Unlock()
		return fmt.Errorf("mqtt: publish: camera %q is not one of the device's", d.Camera)
	}
	at := l.clock.at(d.Time, now)
	l.out.mu.Lock()
	if d.Stable.Label != c.label {
		c.label = d.Stable.Label
		c.classification.setText(c.label)
	}
	if d.Changed {
		r := l.record(c.event, 1)
		r.payload = appendEvent(r.payload, c.eventOpening, r.seq, at, "class_changed")
		r.payload = appendField(r.payload, "label", d.Stable.Label)
		r.payload = appendField(r.payload, "previous", d.Before.Label)
		r.payload = appendScore(append(r.payload, `,"p":`...), d.Stable.Score)
	}
	if c.gate.worth(now, d) {
		r := l.record(c.result, byte(l.cfg.QoS))
		r.payload = appendResult(r.payload, c.resultOpening, r.seq, at, d)
	}
	l.out.mu.Unlock()
	l.mu.Unlock()
	l.out.ring()
	return nil
}

// record accepts the next record of the stream. Both locks are held.
func (l *Link) record(topic string, qos byte) *record {
	l.seq++
	r := l.out.queue.push(l.seq)
	r.topic, r.qos, r.late = topic, qos, !l.out.up
	return r
}

// CameraStatus tells that a camera is now online, offline or disabled: retained, and as an event where an
// online one was lost or came back. A camera that Identity does not name is passed over.
func (l *Link) CameraStatus(camera, status string) {
	l.mu.Lock()
	c := l.lanes[camera]
	if c == nil || c.now == status {
		l.mu.Unlock()
		return
	}
	before := c.now
	c.now = status
	now := time.Now()
	l.out.mu.Lock()
	c.status.setText(status)
	kind := ""
	switch {
	case before == online && status == offline:
		kind, c.wasLost = "camera_lost", true
	case status == online && c.wasLost:
		kind, c.wasLost = "camera_restored", false
	}
	if kind != "" {
		r := l.record(c.event, 1)
		r.payload = appendEvent(r.payload, c.eventOpening, r.seq, l.clock.at(now, now), kind)
	}
	l.out.mu.Unlock()
	l.mu.Unlock()
	l.checkHealth()
}

// tellLoss makes the event queue_dropped of what the full queue has lost, once there is room for it.
func (l *Link) tellLoss() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	lost := l.out.queue.lost
	if lost.count == 0 || l.out.queue.full() {
		return
	}
	l.out.queue.lost = loss{}
	now := time.Now()
	r := l.record(l.topics.event, 1)
	r.lost = lost
	r.payload = appendEvent(r.payload, l.opening, r.seq, l.clock.at(now, now), "queue_dropped")
	r.payload = appendField(r.payload, "reason", "full")
	r.payload = strconv.AppendUint(append(r.payload, `,"records":`...), lost.count, 10)
	r.payload = strconv.AppendUint(append(r.payload, `,"from_seq":`...), lost.from, 10)
	r.payload = strconv.AppendUint(append(r.payload, `,"to_seq":`...), lost.to, 10)
}

// Connected reports whether a broker takes messages right now.
func (l *Link) Connected() bool { return l.connected.Load() }

// Waiting is how many records the broker has not acknowledged yet.
func (l *Link) Waiting() int {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	return l.out.queue.waiting()
}
