package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/mqtt"
)

// Options say whose fleet.
type Options struct {
	MQTT  mqtt.Config
	Group string
	// Tell hears of every change of a rollout; nil: nobody does.
	Tell func(Progress)
	// Trouble hears of each change of the connection: nil is up. nil: nobody does.
	Trouble func(error)
	Now     func() time.Time // nil: the clock
}

// Progress is how far a rollout is.
type Progress struct {
	Group   string `json:"group"`
	Rollout string `json:"rollout"` // its target
	Wave    int    `json:"wave"`    // from 1
	Waves   int    `json:"waves"`
	State   string `json:"state"` // running, halted, back or done
	Reason  string `json:"reason,omitempty"`
	Tally
}

// ErrHalted is that a rollout ended before its last wave.
var ErrHalted = errors.New("the rollout is halted")

// room is what is known of a group: what the broker has retained, and how the devices stand.
type room struct {
	Options
	topics Topics
	bus    *mqtt.Bus

	mu       sync.Mutex // guards what follows
	board    *board
	rollout  *Rollout
	halt     *Halt
	heard    map[string]string // what is retained, by topic, as far as it was heard or just told
	bad      error             // what is retained and cannot be read
	complete bool              // what was retained is there
	wake     chan struct{}
}

// open makes the room; its bus runs until close is called.
func open(ctx context.Context, o Options) (g *room, closeBus func(), err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	g = &room{Options: o, topics: TopicsOf(o.MQTT.TopicPrefix, o.Group), board: newBoard(o.MQTT.TopicPrefix),
		heard: make(map[string]string), wake: make(chan struct{}, 1)}
	filters := append(g.board.filters(), g.topics.Model, g.topics.Rollout, g.topics.Halt)
	o.MQTT.ClientID = "" // the agent's own, and there can be only one of a name
	g.bus, err = mqtt.NewBus(o.MQTT, Base(o.MQTT.TopicPrefix)+"/-", filters, g.connection, g.take)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { g.bus.Run(ctx) })
	return g, func() { cancel(); running.Wait() }, nil
}

func (g *room) connection(err error) {
	g.mu.Lock()
	g.complete = err == nil
	if err != nil { // a broker that comes back may have lost what it kept
		clear(g.heard)
	}
	g.mu.Unlock()
	if g.Trouble != nil {
		g.Trouble(err)
	}
	g.ring()
}

func (g *room) ring() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// take keeps what the broker tells.
func (g *room) take(m mqtt.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.ring()
	if g.board.take(m) {
		return
	}
	g.heard[m.Topic] = string(m.Payload)
	var err error
	switch m.Topic {
	case g.topics.Rollout:
		g.rollout = nil
		if len(m.Payload) > 0 {
			g.rollout, err = parseRollout(m.Payload)
		}
	case g.topics.Halt:
		g.halt = nil
		if len(m.Payload) > 0 {
			g.halt, err = parseHalt(m.Payload)
		}
	}
	if err != nil {
		g.bad = fmt.Errorf("fleet: %s %w: clear it with mosquitto_pub -r -n -t %[1]s", m.Topic, err)
	}
}

// settle waits until what was retained is there.
func (g *room) settle(ctx context.Context) error {
	for {
		g.mu.Lock()
		complete, bad := g.complete, g.bad
		g.mu.Unlock()
		switch {
		case bad != nil:
			return bad
		case complete:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("fleet: the broker %s was not reached: %w", mqtt.Shown(g.MQTT.Broker), ctx.Err())
		case <-g.wake:
		}
	}
}

// retain makes a topic say v, unless it does; it returns what waits for the broker. g.mu is held.
func (g *room) retain(topic string, v any) (posted []<-chan struct{}) {
	text := encode(v)
	if g.heard[topic] == string(text) {
		return nil
	}
	g.heard[topic] = string(text)
	return []<-chan struct{}{g.bus.Post(topic, text)}
}

// wait waits for the broker's acknowledgements.
func wait(ctx context.Context, all ...<-chan struct{}) error {
	for _, done := range all {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("fleet: the broker has not taken it: %w", ctx.Err())
		}
	}
	return nil
}

// Start is what a rollout begins with.
type Start struct {
	Target
	Plan
	Again bool // begin anew where the last one of this target was halted
}

// Run begins the rollout of s, or goes on with it where it is under way, and reconciles until its
// last wave has passed, it is halted (ErrHalted), or ctx ends. Nothing is kept here: what it knows is
// retained, and it may run twice.
func Run(ctx context.Context, o Options, s Start) error {
	if err := errors.Join(s.Target.validate(), s.Plan.Validate()); err != nil {
		return fmt.Errorf("fleet: rollout: %w", err)
	}
	g, closeBus, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer closeBus()
	if err := g.settle(ctx); err != nil {
		return err
	}
	if err := g.begin(ctx, s); err != nil {
		return err
	}
	return g.reconcile(ctx)
}

// begin retains the first wave, unless the rollout is there already.
func (g *room) begin(ctx context.Context, s Start) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	old, attempt, before := g.rollout, 1, (*Target)(nil)
	devices := g.board.devices(g.Group)
	if len(devices) == 0 {
		return fmt.Errorf("fleet: no device of group %s was heard below %s/: is %[1]s in their device.groups, and may "+
			"this account read there?", g.Group, g.MQTT.TopicPrefix)
	}
	switch halted := g.halt.ends(old); {
	case old == nil:
		before = mostly(devices, s.Target)
	case old.Target == s.Target && !halted:
		return nil // it is under way, or done: whoever was killed goes on
	case old.Target == s.Target && !s.Again:
		// as for who halted it: who was killed after the halt and started again ends the same
		return fmt.Errorf("fleet: %s to %s: %w: %s: --again begins it anew", s.Target, g.Group, ErrHalted,
			g.halt.Reason)
	case old.Target == s.Target:
		attempt, before = old.Attempt+1, old.Before
	case !old.Done && !halted:
		return fmt.Errorf("fleet: a rollout of %s to %s is under way: 'vggse-agent fleet halt' ends it first",
			old.Target, g.Group)
	case !halted:
		before = &old.Target
	default:
		before = old.Before
	}
	ids := make([]string, len(devices))
	for i, d := range devices {
		ids[i] = d.ID
	}
	r := newRollout(s.Target, s.Plan, before, attempt, ids, g.Now())
	g.rollout = &r
	return nil
}

// mostly is the release that most of the devices run which have one, the target itself aside.
func mostly(devices []*Device, but Target) *Target {
	votes := make(map[Target]int)
	var best *Target
	for _, d := range devices {
		t := Target{d.Name, d.Release, d.Bundle}
		if t.validate() != nil || t.Digest == but.Digest || d.Local {
			continue
		}
		if votes[t]++; best == nil || votes[t] > votes[*best] {
			best = &t
		}
	}
	return best
}

// lookEvery is how often time alone is looked at.
const lookEvery = time.Second

// reconcile makes what is retained follow from how the devices stand, until the rollout ends.
func (g *room) reconcile(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var told Progress
	for {
		p, posted, err := g.look()
		if err != nil {
			return err
		}
		if g.Tell != nil && p != told && p.State != "" {
			told = p
			g.Tell(p)
		}
		if p.State == "done" || p.State == "halted" || p.State == "back" {
			if err := wait(ctx, posted...); err != nil {
				return err
			}
			if p.State == "done" {
				return nil
			}
			return fmt.Errorf("fleet: %s to %s: %w: %s", p.Rollout, g.Group, ErrHalted, p.Reason)
		}
		select {
		case <-ctx.Done():
			return nil // whoever starts it again goes on
		case <-tick.C:
		}
	}
}

// look decides once, and retains what follows from it.
func (g *room) look() (p Progress, posted []<-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.bad != nil:
		return p, nil, g.bad
	case !g.complete:
		return p, nil, nil // nobody decides on half of what is known
	case g.rollout == nil:
		return p, nil, fmt.Errorf("fleet: somebody has taken the rollout of %s from the broker", g.Group)
	}
	r, devices, now := g.rollout, g.board.devices(g.Group), g.Now()
	if !g.halt.ends(r) {
		next, halt := r.decide(devices, now)
		if halt != nil {
			g.halt = halt
		}
		if next.Wave != r.Wave || next.Done != r.Done {
			*r = next
		}
	}
	if g.halt.ends(r) {
		posted = append(posted, g.retain(g.topics.Halt, g.halt)...)
	}
	posted = append(posted, g.retain(g.topics.Rollout, r)...)
	posted = append(posted, g.retain(g.topics.Model, desired(r, g.halt))...)
	return g.progress(devices, now), posted, nil
}

// progress is what is told. g.mu is held.
func (g *room) progress(devices []*Device, now time.Time) Progress {
	r := g.rollout
	p := Progress{Group: g.Group, Rollout: r.Target.String(), Wave: r.Wave + 1, Waves: len(r.Waves), State: "running",
		Tally: r.tally(devices, now)}
	switch {
	case g.halt.ends(r):
		p.State, p.Reason = "halted", g.halt.Reason
		if g.halt.Back {
			p.State = "back"
		}
	case r.Done:
		p.State = "done"
	}
	return p
}

// End halts the rollout of a group, whoever reconciles it; with back everybody returns to what ran
// before.
func End(ctx context.Context, o Options, reason string, back bool) (Progress, error) {
	g, closeBus, err := open(ctx, o)
	if err != nil {
		return Progress{}, err
	}
	defer closeBus()
	if err := g.settle(ctx); err != nil {
		return Progress{}, err
	}
	g.mu.Lock()
	r := g.rollout
	switch {
	case r == nil:
		err = fmt.Errorf("fleet: no rollout to %s is known", g.Group)
	case !back && g.halt.ends(r):
		err = fmt.Errorf("fleet: the rollout of %s to %s is halted already: %s", r.Target, g.Group, g.halt.Reason)
	case !back && r.Done:
		err = fmt.Errorf("fleet: the rollout of %s to %s is done: 'vggse-agent fleet back' takes it back", r.Target,
			g.Group)
	case back && r.Before == nil:
		err = fmt.Errorf("fleet: what ran in %s before %s is not known: roll that release out", g.Group, r.Target)
	}
	if err != nil {
		g.mu.Unlock()
		return Progress{}, err
	}
	g.halt = &Halt{haltSchema, r.ID, reason, back, g.Now().UTC().Format(time.RFC3339)}
	posted := append(g.retain(g.topics.Halt, g.halt), g.retain(g.topics.Model, desired(r, g.halt))...)
	p := g.progress(g.board.devices(g.Group), g.Now())
	g.mu.Unlock()
	return p, wait(ctx, posted...)
}

// Status is what the broker says of all devices, or those of a group, and how far the group's rollout
// is; the latter is zero where there is none.
func Status(ctx context.Context, o Options) ([]*Device, Progress, error) {
	g, closeBus, err := open(ctx, o)
	if err != nil {
		return nil, Progress{}, err
	}
	defer closeBus()
	if err := g.settle(ctx); err != nil {
		return nil, Progress{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	devices := g.board.devices(g.Group)
	if g.rollout == nil || g.Group == "" {
		return devices, Progress{}, nil
	}
	return devices, g.progress(devices, g.Now()), nil
}
