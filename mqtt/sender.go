package mqtt

import (
	"context"
	"errors"
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/mqtt/spool"
)

const (
	window     = 20               // publications without acknowledgement (Mosquitto forwards 20 at a time)
	ackTimeout = 30 * time.Second // an acknowledgement that takes longer will not come
	// ackPatience is when it is told that one does not come.
	ackPatience = 10 * time.Second
	reassert    = 60 * time.Second // between two tellings of "online"
	stopLimit   = time.Second      // for the last messages, "stopped" and its acknowledgement
	inboxSlots  = 64
	// echoPatience is how long the own availability may take to come back.
	echoPatience = 10 * time.Second
	inboxLimit   = 64 << 10 // bytes of an inbound packet
)

// Run connects, publishes and connects again until ctx ends; then it sends what still waits, as far
// as half a second goes, publishes "stopped", and returns when every goroutine of the connection
// has ended and what still waits is on disk. A missing broker ends nothing and is told once per
// change, and so is a disk that fails: what it does not take at the end is lost, which the next run
// tells. The error is always nil.
func (l *Link) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		l.flush(ctx)
		return nil
	})
	group.Go(func() error {
		l.dispatcher.run(ctx)
		return nil
	})
	l.connect(ctx)
	group.Wait() //nolint:errcheck // none fails
	l.memory.save(l.log)
	if err := l.out.spool.Close(); err != nil {
		l.log.Error("the disk does not take what waits for the broker: it is lost, and told at the next start",
			"error", err)
	}
	return nil
}

// Where no record came for as long as settled, all that were to be written are: then looking once
// per idleCheck is enough. Twenty times a second cost 0.5 % of a core.
const (
	settled   = 2 * spool.AsyncAfter
	idleCheck = time.Second
)

// flush takes to the disk what waits, and tells each change of the disk's state.
func (l *Link) flush(ctx context.Context) {
	tick := time.NewTicker(spool.SyncAfter)
	defer tick.Stop()
	trouble, last, since := "", uint64(0), time.Now()
	damaged := ""
	for {
		switch now := l.out.spool.Last(); {
		case now != last:
			last, since = now, time.Now()
		case time.Since(since) > settled:
			tick.Stop()
			l.out.idle(ctx, idleCheck, last)
			tick.Reset(spool.SyncAfter)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.out.spool.Flush()
		l.memory.save(l.log)
		l.checkClock()
		l.checkCertificate(time.Now())
		now, state := "", l.out.spool.State()
		if state.Found != damaged { // some of it shows only when the records are read
			damaged = state.Found
			l.log.Warn("spool damaged", "found", damaged)
		}
		if state.Err != nil {
			now = state.Err.Error()
		}
		switch {
		case now == trouble:
			continue
		case now == "":
			l.log.Info("spool on disk again")
		default:
			l.log.Warn("spool cannot write, records wait in memory only", "error", now)
		}
		trouble = now
		l.checkHealth()
	}
}

// mostReasons is how many reasons one outage tells.
const mostReasons = 16

// connect keeps up a connection until ctx ends.
func (l *Link) connect(ctx context.Context) {
	wait := backoff{most: l.retry}
	var doubt poisonGuard
	var ends hangups
	told := make(map[string]bool) // a broker's reasons may take turns: each is told once an outage
	o := &opening{
		cfg: &l.cfg, broker: l.broker, clientID: l.cfg.ClientID, limit: inboxLimit, inbox: inboxSlots,
		missed: &l.missed,
		will:   &will{l.topics.available, Offline}, large: &l.large,
	}
	for {
		what, why := "broker not reached, trying again", ""
		s, err := open(ctx, o)
		if err == nil {
			what = "broker lost, connecting again"
			clear(told)
			began := time.Now()
			l.log.Info("broker connected", "broker", Shown(l.broker.String()))
			l.away.Store(nil)
			why = l.serve(ctx, s, &doubt, &ends)
			wait.held(time.Since(began))
		} else {
			doubt, ends.count, ends.silent = poisonGuard{}, 0, 0 // the broker itself is in trouble
			why = l.cfg.reason(err)
			wait.failed(err)
		}
		if ctx.Err() != nil {
			return
		}
		l.away.Store(&why)
		if !told[why] && len(told) < mostReasons {
			told[why] = true
			l.log.Warn(what, "broker", Shown(l.broker.String()), "error", why)
		}
		pause(ctx, wait.next(time.Now()))
	}
}

// serve sends over one session until ctx ends, or it is lost, and says why.
func (l *Link) serve(ctx context.Context, s *session, doubt *poisonGuard, ends *hangups) string {
	l.out.connect()
	l.connected.Store(true)
	c := &sender{Link: l, session: s, doubt: doubt, ends: ends, began: time.Now(),
		subscribed: s.subscribe(l.large.without(l.filters())...)}
	err := c.talk(ctx)
	l.connected.Store(false)
	l.out.spool.Disconnect()
	if err == nil {
		s.close()
		return ""
	}
	defer l.large.ended() // when nobody reads any more
	why, guessed := ends.lost(c, err, time.Since(c.began))
	if guessed {
		ends.told = true
		l.Health("broker", Condition{Degraded, why})
	}
	if len(c.flights) > 0 && doubt.lost(&c.flights[0].publication) {
		l.log.Error("the broker ends the connection whenever it gets this message: given up",
			"topic", c.flights[0].topic, "bytes", len(c.flights[0].payload), "seq", c.flights[0].seq,
			"cure", "it is longer than the broker takes, or its access rules do not let "+
				l.cfg.who(l.id.Device)+" write there")
		l.out.refuse(&c.flights[0].publication)
	}
	s.abort(err)
	return why
}

// flight is a publication under way.
type flight struct {
	publication
	ack   ack
	since time.Time
}

// sender is the use of one session. One goroutine does it all: it fills the window, waits for the
// oldest acknowledgement, and so lets the spool forget its records in their order.
type sender struct {
	*Link
	*session
	doubt      *poisonGuard
	ends       *hangups
	began      time.Time
	subscribed ack
	others     ack      // the subscription to what Listen names; nil: to nothing
	flights    []flight // oldest first, at most window

	acknowledged int  // messages that the broker has
	silent       bool // told that no acknowledgements come
	echoed       bool // something came, as the own availability does
}

// silent is what a broker is that takes the connection, and what it is sent, without a word.
const (
	silent     = "the broker took the login and then does not acknowledge what it is sent"
	silentCure = "it has more to do than it can, its disk is full, or what listens is only a part of one: look into " +
		"its log, restart it, or correct mqtt.broker"
)

var errSilent error = complete{errors.New(silent + ": " + silentCure)}

func (c *sender) talk(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := time.Now()
	stop := ctx.Done()
	var ending <-chan time.Time
	subscribed, others := c.subscribed.Done(), (<-chan struct{})(nil)
	for {
		c.fill()
		if stop == nil && len(c.flights) == 0 {
			return c.farewell()
		}
		var head <-chan struct{}
		if len(c.flights) > 0 {
			head = c.flights[0].ack.Done()
		}
		select {
		case <-c.out.wake:
		case <-head:
			if err := c.land(); err != nil {
				return err
			}
		case err := <-c.lost:
			return err
		case <-subscribed:
			if err := c.subscribed.Error(); err != nil && !lostMeanwhile(err) { // publishing goes on without
				c.log.Warn("not subscribed", "error", err)
			}
			subscribed = nil
			if c.heard != nil { // in a packet of its own, one at a time: the guard knows of one
				c.others = c.session.subscribe(c.large.without(c.listened)...)
				others = c.others.Done()
			}
		case <-others:
			if err := c.others.Error(); err != nil && !lostMeanwhile(err) {
				c.log.Warn("not subscribed to what a fleet wants", "error", err)
			}
			others = nil
		case m := <-c.inbound:
			c.take(*m)
		case now := <-tick.C:
			if len(c.flights) > 0 && now.Sub(c.flights[0].since) > ackTimeout {
				return errSilent
			}
			c.tellSilent(now, subscribed)
			c.tellLoss()
			c.tellSummaries(now)
			c.tellUnheard(now)
			if c.ends.told && now.Sub(c.began) >= takeoverSoon {
				c.ends.told = false
				c.Health("broker", Condition{Status: OK})
			}
			c.checkHealth()
			if now.Sub(told) >= reassert {
				told = now
				c.out.again(c.available)
			}
		case <-stop:
			stop = nil
			timer := time.NewTimer(stopLimit / 2)
			defer timer.Stop()
			ending = timer.C
		case <-ending:
			return c.farewell()
		}
	}
}

// lostMeanwhile reports whether a subscription failed because the connection did, which is told by itself.
func lostMeanwhile(err error) bool {
	return err != nil && (errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "connection lost"))
}

// fill sends as long as the window has room.
func (c *sender) fill() {
	for len(c.flights) < c.doubt.window() {
		p, ok := c.out.take()
		if !ok {
			c.tellLoss() // the end of a backlog; while one drains, the tick does
			if p, ok = c.out.take(); !ok {
				return
			}
		}
		c.flights = append(c.flights, flight{p, c.publish(p.topic, p.qos, p.retain, p.payload), time.Now()})
	}
}

// tellSilent tells once a connection that the broker acknowledges neither the subscription nor the oldest message,
// long before it is given up, and when it does again.
func (c *sender) tellSilent(now time.Time, subscribed <-chan struct{}) {
	late := subscribed != nil && now.Sub(c.began) > ackPatience ||
		len(c.flights) > 0 && now.Sub(c.flights[0].since) > ackPatience
	switch {
	case late && !c.silent:
		c.Health("broker", Condition{Degraded, errSilent.Error()})
		c.log.Warn("broker silent", "broker", Shown(c.broker.String()), "error", silent, "cure", silentCure)
	case !late && c.silent:
		c.Health("broker", Condition{Status: OK})
		c.log.Info("broker acknowledges again", "broker", Shown(c.broker.String()))
	}
	c.silent = late
}

// tellUnheard tells once that nothing comes back of what the broker has acknowledged: many drop
// without a word what their access rules forbid.
func (c *sender) tellUnheard(now time.Time) {
	if c.unheard || c.echoed || c.acknowledged == 0 || now.Sub(c.began) < echoPatience {
		return
	}
	c.unheard = true
	c.log.Warn("the broker acknowledges what is published, but does not give it back: its access rules may drop it, "+
		"or let no commands through", "topic", c.topics.available, "user", c.cfg.who(c.id.Device), "cure",
		"let this user write and read below "+path.Dir(c.topics.available)+"; vggse-agent doctor tries it")
}

// land takes the oldest publication out of the window: its acknowledgement is there.
func (c *sender) land() error {
	f := c.flights[0]
	if err := f.ack.Error(); err != nil {
		return c.cause(err)
	}
	c.flights = append(c.flights[:0], c.flights[1:]...)
	c.doubt.landed(&f.publication)
	c.ends.landed(&f.publication)
	if f.qos > 0 {
		c.acknowledged++
	}
	switch {
	case f.state == nil:
		c.out.spool.Ack(f.seq)
	case f.state.gone:
		c.forget(f.state)
	}
	return nil
}

// cause waits for the reason of a lost connection, which comes right after the tokens have failed.
func (c *sender) cause(err error) error {
	select {
	case why := <-c.lost:
		return why
	case <-time.After(closeGrace):
		return err
	}
}

// filters are the topics that the link listens to, at most six: some brokers allow eight in one
// SUBSCRIBE.
func (l *Link) filters() []string {
	all := []string{l.topics.available}
	if len(l.cfg.Commands.Allow) > 0 {
		all = append(all, l.topics.command, l.topics.base+"+/enabled/set", l.topics.base+"+/threshold/set",
			l.topics.base+"+/thresholds/set", l.topics.base+"+/unknown_below/set")
	}
	if l.discovery != nil {
		all = append(all, l.cfg.Discovery.Prefix+"/status")
	}
	return all
}

// Listen makes the link hear what comes on other topics than the device's own, retained or not; call it
// before Run. filters, at most 8, have no other wildcard than +. heard is called from the link's
// goroutine, and must not wait.
func (l *Link) Listen(filters []string, heard func(Message)) { l.listened, l.heard = filters, heard }

// take looks at a message that came in. Of the own availability, a last will that was late may have
// overwritten what holds.
func (c *sender) take(m Message) {
	c.echoed = true
	switch {
	case c.heard != nil && slices.ContainsFunc(c.listened, func(f string) bool { return matches(f, m.Topic) }):
		c.heard(m)
	case m.Topic == c.topics.available:
		if string(m.Payload) != Online {
			c.out.again(c.available)
		}
	case m.Topic == c.topics.command:
		c.dispatcher.command(m, time.Now())
	case c.discovery != nil && m.Topic == c.cfg.Discovery.Prefix+"/status":
		if string(m.Payload) == Online {
			c.out.again(c.discovery)
		}
	default:
		c.dispatcher.set(m, time.Now())
	}
}

// farewell publishes that no camera delivers any more, then "stopped", and waits for the
// acknowledgements, for what is left of stopLimit.
func (c *sender) farewell() error {
	acks := make([]ack, 0, len(c.cameras)+1)
	for _, status := range c.statesOfCameras() {
		acks = append(acks, c.publish(status, 1, true, []byte(CameraOffline)))
	}
	acks = append(acks, c.publish(c.topics.available, 1, true, []byte(Stopped)))
	limit := time.NewTimer(stopLimit / 2)
	defer limit.Stop()
	for _, a := range acks {
		select {
		case <-a.Done():
			if err := a.Error(); err != nil {
				return err
			}
		case err := <-c.lost:
			return err
		case <-limit.C:
			return errSilent
		}
	}
	return nil
}

// statesOfCameras are the status topics of the cameras that are told as online or stalled.
func (l *Link) statesOfCameras() (topics []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range l.id.Cameras {
		if c := l.cameras[name]; c.now == CameraOnline || c.now == CameraStalled {
			topics = append(topics, c.status.topic)
		}
	}
	return topics
}
