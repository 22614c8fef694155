package mqtt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vggse/vggse-agent/mqtt/spool"
	"github.com/vggse/vggse-agent/vision"
)

// Link is the way of decisions to one broker. Its methods may be called from any goroutine, before
// and while Run runs; none of them waits for the network.
type Link struct {
	cfg     Config
	id      Identity // Model and Labels: guarded by mu
	broker  *url.URL
	log     *slog.Logger
	topics  topics
	started time.Time

	connected   atomic.Bool
	away        atomic.Pointer[string] // why it is not
	missed      atomic.Uint64          // messages that came in faster than they were looked at
	retry       time.Duration          // longest wait before an attempt to connect; 0: the usual
	large       large
	out         *outbox
	available   *state
	info        *state
	update      *state
	stats       *state
	health      health
	discovery   *state // nil: nothing is announced
	dispatcher  *dispatcher
	listened    []string      // filters beside the device's own
	heard       func(Message) // takes what comes there; nil: nothing is listened to
	memory      retainedTopics
	certificate time.Time // of the next look at it
	unheard     bool      // told that nothing comes back

	machine struct{ temperature *bool } // what it tells; nil: not known yet; guarded by mu

	mu        sync.Mutex // guards what follows; taken before the outbox's and the spool's
	cameras   map[string]*cameraTopics
	opening   []byte // of the device's own events
	answering []byte // opening of responses
	clock     clock
	updating  Update // as it was told last
}

// cameraTopics is one camera's part of the topic tree, and what was last said there.
type cameraTopics struct {
	name                         string
	status                       *state
	classification               *state
	enabled, threshold, snapshot *state
	thresholds, unknownBelow     *state
	result, event                string // topics
	resultOpening                []byte
	eventOpening                 []byte
	gate                         gate
	label                        string // as published
	summary                      summary
	now                          string // status as told; empty: not yet
	wasLost                      bool   // told as camera_lost, and not yet as restored
}

// NewLink makes a Link to the broker of cfg, which must not be Embedded (start it, and give its
// URL). It reads the password and the certificates once, to tell now what would fail later; it
// connects in Run.
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
	queue, err := openSpool(cfg.Spool)
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	id.fill(queue.StreamID())
	cfg.ClientID = cmp.Or(cfg.ClientID, "vggse-"+id.Device)
	l := &Link{
		cfg: cfg, id: id, broker: broker, log: log, topics: newTopics(cfg.TopicPrefix, id.Device), started: time.Now(),
		out: newOutbox(queue), cameras: make(map[string]*cameraTopics, len(id.Cameras)),
		opening:   id.opening("vggse.event/1", ""),
		answering: id.opening("vggse.response/1", ""),
	}
	l.large = large{log: log, limit: inboxLimit, missed: &l.missed, told: make(map[string]bool),
		lost: make(map[string]int)}
	l.dispatcher = newDispatcher(l)
	l.furnish()
	return l, nil
}

// furnish makes every topic and gives the retained ones what is true before the first decision.
func (l *Link) furnish() {
	l.available = l.out.add(l.topics.available, 1, true)
	l.available.set([]byte(Online))
	l.info = l.out.add(l.topics.info, 1, true)
	l.info.set(l.id.info(l.started))
	l.update = l.out.add(l.topics.update, 1, true)
	l.updating = Update{State: UpdateIdle}
	l.update.set(l.id.update(l.updating))
	for _, name := range l.id.Cameras {
		base := l.topics.base + name + "/"
		c := &cameraTopics{
			name:   name,
			status: l.out.add(base+"status", 1, true), classification: l.out.add(base+"classification", 1, true),
			enabled: l.out.add(base+"enabled/state", 1, true), threshold: l.out.add(base+"threshold/state", 1, true),
			thresholds:   l.out.add(base+"thresholds/state", 1, true),
			unknownBelow: l.out.add(base+"unknown_below/state", 1, true),
			snapshot:     l.out.add(base+"snapshot", 0, false),
			result:       base + "result", event: base + "event",
			resultOpening: l.id.opening("vggse.result/1", name), eventOpening: l.id.opening("vggse.event/1", name),
			gate: gate{Policy: l.cfg.policy(name)}, label: l.id.Unknown,
		}
		c.summary = summary{state: l.out.add(base+"summary", 1, true), label: l.id.Unknown, since: l.started,
			limit: bucket{rate: summaryRate, burst: summaryBurst}}
		c.summary.state.set(c.summary.payload())
		c.status.set([]byte(CameraOffline))
		c.classification.set([]byte(c.label))
		l.cameras[name] = c
	}
	l.health.state = l.out.add(l.topics.health, 1, true)
	l.stats = l.out.add(l.topics.stats, 0, false)
	l.memory.recall(l.cfg.StateDir, l.id.Device, l.log)
	l.announce()
	l.checkHealth()
	l.tidy()
	l.memory.save(l.log) // before anything goes out
}

// Model tells that another network answers from now on, with labels of its own: every later message
// names it.
func (l *Link) Model(m ModelInfo, labels []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.id.Model
	l.id.Model, l.id.Labels = m, labels
	l.opening, l.answering = l.id.opening("vggse.event/1", ""), l.id.opening("vggse.response/1", "")
	for name, c := range l.cameras {
		c.resultOpening, c.eventOpening = l.id.opening("vggse.result/1", name), l.id.opening("vggse.event/1", name)
	}
	l.out.set(l.info, l.id.info(l.started))
	l.announce()
	if before != m {
		l.memory.know(m)
		l.tellModel(before)
	}
	l.out.ring()
}

// Knows says whether the model tells frames that show none of its classes: Home Assistant has
// entities for that then.
func (l *Link) Knows(has bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id.Knows != has {
		l.id.Knows = has
		l.announce()
	}
}

// tellModel accepts the event that another model answers than before. l.mu is held.
func (l *Link) tellModel(before ModelInfo) {
	l.tell(spool.Sync, l.topics.event, l.opening, "model_changed", spool.Loss{}, func(b []byte) []byte {
		return append(append(b, `,"previous":`...), encode(before)...)
	})
}

// ModelRefused tells that a model was to answer and could not, and that the one before goes on:
// bundle is the digest of an installed one, else the name of its folder; reason is for people.
func (l *Link) ModelRefused(bundleDir, reason string) {
	l.mu.Lock()
	l.tell(spool.Sync, l.topics.event, l.opening, "model_rolled_back", spool.Loss{}, func(b []byte) []byte {
		return appendField(appendField(b, "bundle", bundleDir), "reason", reason)
	})
	l.mu.Unlock()
	l.out.ring()
}

// ModelConfirmed tells that the model of an installed bundle has made good on its trial.
func (l *Link) ModelConfirmed(digest string) {
	l.mu.Lock()
	l.tell(spool.Sync, l.topics.event, l.opening, "model_confirmed", spool.Loss{}, func(b []byte) []byte {
		return appendField(b, "bundle", digest)
	})
	l.mu.Unlock()
	l.out.ring()
}

// checkClock tells where the machine's clock was set.
func (l *Link) checkClock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	step := l.clock.step(sinceBoot, time.Now)
	if step == 0 {
		return
	}
	l.log.Warn("the clock was set", "step", step)
	l.clock.checked = time.Time{} // its quality too may be another
	l.tell(spool.Sync, l.topics.event, l.opening, "clock_stepped", spool.Loss{}, func(b []byte) []byte {
		return strconv.AppendFloat(append(b, `,"step_s":`...), step.Seconds(), 'f', 3, 64)
	})
	l.out.ring()
}

// openSpool opens the spool of the configuration. A disk that fails is no reason not to start, a
// folder that cannot be used is.
func openSpool(c SpoolConfig) (*spool.Spool, error) {
	if c.Dir == "" || c.Bytes == 0 {
		return spool.Memory(spool.NewID()), nil
	}
	spool.ClearPlace(c.Dir)
	s, err := spool.Open(c.Dir, spool.Options{Bytes: c.Bytes, MinFree: c.MinFree})
	if errors.Is(err, fs.ErrPermission) {
		const cure = "give it to this account with chown -R or 'sudo vggse-agent spool repair', choose another " +
			"state_dir, or set mqtt.spool.bytes to 0"
		return nil, fmt.Errorf("%w: %s", err, cure)
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%w: a file stands where a folder should: remove it", err)
	}
	return s, err
}

// Publish takes a copy of what d says that is worth saying, under the policy of the configuration:
// the label on change, an event on change, a result. It keeps nothing of d, never waits for the
// network or the disk, and allocates nothing once its memory has grown.
func (l *Link) Publish(_ context.Context, d *vision.Decision) error {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.cameras[d.Camera]
	if c == nil {
		return fmt.Errorf("mqtt: publish: camera %q is not one of the device's", d.Camera)
	}
	if d.Stable.Label != c.label {
		c.label = d.Stable.Label
		l.out.setText(c.classification, c.label)
	}
	c.summary.note(d, now)
	c.summary.tell(l.out, now)
	var err error
	at := l.clock.at(d.Time, now)
	if d.Changed {
		_, err = l.out.spool.Append(spool.Sync, c.event, 1, spool.Loss{}, func(b []byte, seq uint64) []byte {
			b = appendEvent(b, c.eventOpening, seq, at, "class_changed")
			b = appendField(b, "label", d.Stable.Label)
			b = appendField(b, "previous", d.Before.Label)
			return appendScore(append(b, `,"p":`...), d.Stable.Score)
		})
	}
	if err == nil && c.gate.worth(now, d) {
		_, err = l.out.spool.Append(spool.Async, c.result, byte(l.cfg.QoS), spool.Loss{},
			func(b []byte, seq uint64) []byte {
				return appendResult(b, c.resultOpening, seq, at, d)
			})
	}
	l.out.ring()
	if errors.Is(err, spool.ErrSize) { // one message too long ends nothing
		l.log.Error("decision not accepted", "camera", d.Camera, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("mqtt: publish: %w", err)
	}
	return nil
}

// CameraStatus tells that a camera is now online, offline, stalled or disabled: retained, and as an
// event where an online one was lost or came back. A camera that Identity does not name is passed
// over.
func (l *Link) CameraStatus(camera, status string) {
	l.mu.Lock()
	if c := l.cameras[camera]; c != nil && c.now != status {
		before := c.now
		c.now = status
		l.out.setText(c.status, status)
		switch {
		case before == CameraOnline && (status == CameraOffline || status == CameraStalled):
			c.wasLost = true
			l.tell(spool.Sync, c.event, c.eventOpening, "camera_lost", spool.Loss{}, nil)
		case status == CameraOnline && c.wasLost:
			c.wasLost = false
			l.tell(spool.Sync, c.event, c.eventOpening, "camera_restored", spool.Loss{}, nil)
		}
	}
	l.mu.Unlock()
	l.out.ring()
	l.checkHealth()
}

// tell accepts an event of now; more adds its own fields. l.mu is held.
func (l *Link) tell(class spool.Class, topic string, opening []byte, kind string, lost spool.Loss,
	more func(b []byte) []byte) {
	now := time.Now()
	at := l.clock.at(now, now)
	_, err := l.out.spool.Append(class, topic, 1, lost, func(b []byte, seq uint64) []byte {
		b = appendEvent(b, opening, seq, at, kind)
		if more != nil {
			b = more(b)
		}
		return b
	})
	if err != nil {
		l.log.Error("event not accepted", "event", kind, "error", err)
	}
}

// tellLoss makes an event of every kind of loss that the spool has found.
func (l *Link) tellLoss() {
	for _, reason := range spool.Reasons() {
		lost := l.out.spool.Lost(reason)
		if lost.Count == 0 {
			continue
		}
		l.mu.Lock()
		l.tell(spool.Sync, l.topics.event, l.opening, "queue_dropped", lost, func(b []byte) []byte {
			b = appendField(b, "reason", reason.String())
			b = strconv.AppendUint(append(b, `,"from_seq":`...), lost.From, 10)
			b = strconv.AppendUint(append(b, `,"to_seq":`...), lost.To, 10)
			if reason != spool.UncleanStop { // there most of the numbers were never given
				b = strconv.AppendUint(append(b, `,"records":`...), lost.Count, 10)
			}
			return b
		})
		l.mu.Unlock()
		l.log.Warn("records lost", "reason", reason.String(), "from_seq", lost.From, "to_seq", lost.To)
	}
}

// Away says why no broker takes messages; "": one does, or none was tried yet.
func (l *Link) Away() string {
	if why := l.away.Load(); why != nil {
		return *why
	}
	return ""
}

// Connected reports whether a broker takes messages right now.
func (l *Link) Connected() bool { return l.connected.Load() }

// Queue says how the records fare that wait.
func (l *Link) Queue() spool.State { return l.out.spool.State() }

// Waiting is how many records the broker has not acknowledged yet, about.
func (l *Link) Waiting() int { return l.out.spool.Waiting() }
