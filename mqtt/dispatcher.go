package mqtt

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/mqtt/spool"
	"github.com/vggse/vggse-agent/vision"
)

// Handler does what subscribers ask for. Its methods are called one at a time, from a goroutine of
// the link.
type Handler interface {
	// Enable opens or closes a camera; Threshold sets its score, Thresholds those of single labels, all
	// of them. They outlive a restart.
	Enable(camera string, on bool) error
	Threshold(camera string, score float64) error
	// UnknownBelow sets the p-value below which a frame shows none of the classes.
	UnknownBelow(camera string, p float64) error
	Thresholds(camera string, own []vision.ClassThreshold) error
	// Command carries out c within ctx. After it was answered, then is called, where it is not nil.
	Command(ctx context.Context, c Command) (then func(), err error)
}

const (
	waitingCommands = 8                // commands that wait for the handler
	commandPatience = 30 * time.Second // for one of them
)

// bucket lets through rate events a second, burst at once.
type bucket struct {
	rate, burst, tokens float64
	filled              time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.filled.IsZero() {
		b.tokens = b.burst
	} else {
		b.tokens = min(b.burst, b.tokens+now.Sub(b.filled).Seconds()*b.rate)
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// dispatcher takes what comes in, refuses most of it, and hands the rest to the handler. All that
// it remembers is bounded by its rates.
type dispatcher struct {
	link    *Link
	handler Handler
	jobs    chan *job
	ending  sync.RWMutex // held while jobs are taken or, for good, while the last are sent away
	ended   bool
	seen    map[string]time.Time // ids, until when none of them is taken again
	answers bucket               // commands that could be carried out, and are looked at
	refused bucket               // and that could not: they take no answer from those that can
	garbled bucket               // and what is none: nonsense takes no answer from who makes sense
	work    bucket               // commands that are carried out
	sets    map[string]*setLimit // by topic
}

// job is one thing for the handler to do.
type job struct {
	command Command
	camera  string // of a set
	on      *bool
	own     []vision.ClassThreshold // of labels; nil: it is about another thing
	score   float64
	below   bool // score is a p-value
}

func newDispatcher(l *Link) *dispatcher {
	return &dispatcher{
		link: l, jobs: make(chan *job, waitingCommands), seen: make(map[string]time.Time),
		sets:    make(map[string]*setLimit),
		answers: bucket{rate: 10, burst: 20}, refused: bucket{rate: 10, burst: 20},
		garbled: bucket{rate: 10, burst: 20}, work: bucket{rate: 1, burst: 5},
	}
}

// Handle makes h do what subscribers ask for; call it before Run. Without one every command is
// rejected.
func (l *Link) Handle(h Handler) { l.dispatcher.handler = h }

func (d *dispatcher) allowed(word string) bool {
	return slices.Contains(d.link.cfg.Commands.Allow, word)
}

// command decides on one message of the command topic. Each is answered once; of a flood, and of
// the same id again, the rest is passed over and counted.
func (d *dispatcher) command(m Message, now time.Time) {
	if m.Retained {
		d.link.log.Warn("retained command refused: clear the topic", "topic", m.Topic)
		return
	}
	c, err := decodeCommand(m.Payload)
	status, why := d.verdict(&c, err, now)
	limit := &d.answers
	switch {
	case err != nil:
		limit = &d.garbled
	case status != "":
		limit = &d.refused
	}
	if until, again := d.seen[c.ID]; again && c.ID != "" && now.Before(until) || !limit.take(now) {
		d.link.missed.Add(1)
		return
	}
	d.remember(c.ID, now)
	if status == "" {
		status = "busy"
		if !d.work.take(now) {
			why = "too many commands: at most one a second"
		} else if why = d.enqueue(job{command: c}); why == "" {
			return
		}
	}
	d.answer(c, status, why)
}

// verdict is why a command is not carried out, whatever else there is to do; status is empty where
// nothing speaks against it. err is that of decoding.
func (d *dispatcher) verdict(c *Command, err error, now time.Time) (status, why string) {
	switch age := now.Sub(c.given); {
	case err != nil:
		return "rejected", "the command " + err.Error()
	case age > c.ttl:
		return "expired", fmt.Sprintf("it was given %s ago, for %s", age.Round(time.Second), c.ttl)
	case age < -clockSlack:
		return "rejected", "its time lies in the future: set the clock of the sender, or of the device"
	case c.given.Add(time.Second).Before(d.link.started):
		return "expired", "it was given before the agent started"
	case !d.allowed(c.Name):
		return "rejected", "not allowed here: mqtt.commands.allow lacks " + c.Name
	case d.handler == nil:
		return "rejected", "nobody carries out commands here"
	case c.Camera != "" && d.link.cameras[c.Camera] == nil:
		return "rejected", fmt.Sprintf("there is no camera %q", c.Camera)
	}
	return "", ""
}

// remember keeps an id for as long as its command could be valid, and forgets what no longer can
// be.
func (d *dispatcher) remember(id string, now time.Time) {
	if len(d.seen) > 1024 {
		for old, until := range d.seen {
			if now.After(until) {
				delete(d.seen, old)
			}
		}
	}
	if id != "" {
		d.seen[id] = now.Add(longestTTL + clockSlack)
	}
}

// answer accepts the one response of a command.
func (d *dispatcher) answer(c Command, status, why string) {
	l := d.link
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	at := l.clock.at(now, now)
	_, err := l.out.spool.Append(spool.Async, l.topics.response, 1, spool.Loss{}, func(b []byte, seq uint64) []byte {
		b = appendInstant(append(b, l.answering...), seq, at)
		b = appendField(b, "id", c.ID)
		b = appendField(b, "name", c.Name)
		b = appendField(b, "status", status)
		if why != "" {
			b = appendField(b, "message", why)
		}
		return b
	})
	if err != nil {
		l.log.Error("response not accepted", "id", c.ID, "error", err)
	}
	l.log.Info("command", "id", c.ID, "name", c.Name, "status", status, "why", why)
	l.out.ring()
}

// setLimit are the limits of one topic C/…/set: of values, and of what is none.
type setLimit struct{ good, bad bucket }

func (d *dispatcher) limitOf(topic string, good bool) *bucket {
	limit := d.sets[topic]
	if limit == nil {
		limit = &setLimit{bucket{rate: 2, burst: 5}, bucket{rate: 2, burst: 5}}
		d.sets[topic] = limit
	}
	if good {
		return &limit.good
	}
	return &limit.bad
}

// set decides on one message of a topic of setTopics below a camera's. What is refused is
// answered by the state that still holds.
func (d *dispatcher) set(m Message, now time.Time) {
	rest, ok := strings.CutPrefix(m.Topic, d.link.topics.base)
	camera, what, _ := strings.Cut(rest, "/")
	lane := d.link.cameras[camera]
	if !ok || lane == nil || m.Retained || !slices.Contains(setTopics, what) {
		return
	}
	j, good := decodeSet(what, m.Payload)
	j.camera = camera
	state := lane.stateOf(&j)
	if !d.limitOf(rest, good).take(now) {
		d.link.missed.Add(1)
		return
	}
	if good && d.handler != nil && d.allowed(commandSet) && d.enqueue(j) == "" {
		return
	}
	d.link.out.again(state)
}

// enqueue hands a job to run, or says why that cannot be.
func (d *dispatcher) enqueue(j job) (why string) {
	d.ending.RLock()
	defer d.ending.RUnlock()
	if d.ended {
		return "the agent is ending, or taking other settings: ask again"
	}
	select {
	case d.jobs <- &j:
		return ""
	default:
		return "earlier commands are not done yet"
	}
}

// dismiss answers what waits when nobody is there any more to do it.
func (d *dispatcher) dismiss() {
	d.ending.Lock()
	defer d.ending.Unlock()
	d.ended = true
	for {
		select {
		case j := <-d.jobs:
			if j.camera == "" {
				d.answer(j.command, "busy", "the agent is ending, or taking other settings: ask again")
			}
		default:
			return
		}
	}
}

// run hands jobs to the handler until ctx ends, and then answers those that still wait.
func (d *dispatcher) run(ctx context.Context) {
	defer d.dismiss()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case j := <-d.jobs:
			if j.camera != "" {
				d.adjust(*j)
			} else {
				d.carryOut(ctx, j.command)
			}
		}
	}
}

func (d *dispatcher) carryOut(ctx context.Context, c Command) {
	ctx, cancel := context.WithTimeout(ctx, commandPatience)
	defer cancel()
	then, err := d.handler.Command(ctx, c)
	if err != nil {
		d.answer(c, "error", err.Error())
		return
	}
	d.answer(c, "ok", "")
	if then != nil {
		then()
	}
}

func (d *dispatcher) adjust(j job) {
	l, lane := d.link, d.link.cameras[j.camera]
	state, err := lane.stateOf(&j), error(nil)
	switch {
	case j.on != nil:
		if err = d.handler.Enable(j.camera, *j.on); err == nil {
			l.Enabled(j.camera, *j.on)
		}
	case j.below:
		if err = d.handler.UnknownBelow(j.camera, j.score); err == nil {
			l.UnknownBelow(j.camera, j.score)
		}
	case j.own != nil:
		if err = d.handler.Thresholds(j.camera, j.own); err == nil {
			l.Thresholds(j.camera, j.own)
		}
	default:
		if err = d.handler.Threshold(j.camera, j.score); err == nil {
			l.Threshold(j.camera, j.score)
		}
	}
	if err != nil {
		l.log.Warn("setting not changed", "camera", j.camera, "error", err)
	}
	l.out.again(state)
}

// Enabled publishes whether a camera is meant to be open, retained.
func (l *Link) Enabled(camera string, on bool) {
	if c := l.cameras[camera]; c != nil {
		text := "OFF"
		if on {
			text = "ON"
		}
		l.out.set(c.enabled, []byte(text))
	}
}

// Threshold publishes the score below which a class of a camera does not count, retained.
func (l *Link) Threshold(camera string, score float64) {
	if c := l.cameras[camera]; c != nil {
		l.out.set(c.threshold, strconv.AppendFloat(nil, math.Round(score*1e6)/1e6, 'f', -1, 64))
	}
}

// UnknownBelow publishes the p-value below which a frame of a camera shows none of the classes,
// retained; 0: that is off.
func (l *Link) UnknownBelow(camera string, p float64) {
	if c := l.cameras[camera]; c != nil {
		l.out.set(c.unknownBelow, strconv.AppendFloat(nil, math.Round(p*1e6)/1e6, 'f', -1, 64))
	}
}

// Thresholds publishes the scores of single labels of a camera below which they do not count,
// retained.
func (l *Link) Thresholds(camera string, own []vision.ClassThreshold) {
	if c := l.cameras[camera]; c != nil {
		l.out.set(c.thresholds, appendThresholds(nil, own))
	}
}

// SnapshotLimit is how long a picture for Snapshot may be.
const SnapshotLimit = 100 << 10

// Snapshot publishes a JPEG of a camera's last frame, not retained; without a broker it is dropped.
func (l *Link) Snapshot(camera string, jpeg []byte) error {
	c := l.cameras[camera]
	if c == nil || len(jpeg) > SnapshotLimit {
		return fmt.Errorf("mqtt: snapshot of %q: %d bytes, at most %d", camera, len(jpeg), SnapshotLimit)
	}
	l.out.set(c.snapshot, jpeg)
	return nil
}
