package page

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vggse/vggse-agent/live"
)

// upgrader refuses an Origin that is not the Host: its default. Programs send none.
var upgrader = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 16 << 10, HandshakeTimeout: writeLimit}

// socket feeds one viewer until it goes, its rights end, or the agent does.
func (p *Page) socket(w http.ResponseWriter, r *http.Request) {
	if !p.enter(w) {
		return
	}
	defer p.leave()
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	v := &viewer{page: p, conn: conn, rights: RightsOf(r), wants: make(map[int]want),
		pictures: make(chan *websocket.PreparedMessage)}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer cancel()
		v.read(ctx)
	})
	v.write(ctx)
	cancel()
	conn.Close() // ends read
	reader.Wait()
	v.asking.Wait()
}

// viewer is one open socket. The goroutine of write alone writes.
type viewer struct {
	page     *Page
	conn     *websocket.Conn
	rights   Rights
	pictures chan *websocket.PreparedMessage
	asking   sync.WaitGroup
	sent     sentState

	mu    sync.Mutex // guards what follows
	quiet bool
	wants map[int]want // by camera: the one picture that is waited for
}

// want is a picture that a viewer has asked for and not got yet.
type want struct {
	network bool
	cancel  context.CancelFunc
	id      *int // another one for each
}

// sentState is what the viewer knows, for the goroutine of write.
type sentState struct {
	versions []uint64
	states   []live.State
	labels   []string
	offset   int // of the zone
	troubles []Trouble
	noted    uint64
	last     time.Time // of a state
	looked   time.Time // for troubles
	held     time.Time // the rights were given
	any      bool
}

// read takes in what the viewer asks for until the socket ends.
func (v *viewer) read(ctx context.Context) {
	v.conn.SetReadLimit(askLimit)
	alive := func(string) error { return v.conn.SetReadDeadline(time.Now().Add(3 * pingEvery)) }
	v.conn.SetPongHandler(alive)
	for {
		_ = alive("")
		kind, text, err := v.conn.ReadMessage()
		if err != nil {
			return
		}
		var a ask
		if kind != websocket.TextMessage || json.Unmarshal(text, &a) != nil || !v.take(ctx, a) {
			v.end(websocket.ClosePolicyViolation, "this message is none of the page")
			return
		}
	}
}

// end tells the viewer why the socket closes. It may be called beside write.
func (v *viewer) end(code int, why string) {
	text := websocket.FormatCloseMessage(code, why)
	_ = v.conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second)) // it closes anyway
}

// take does what one message asks for.
func (v *viewer) take(ctx context.Context, a ask) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if a.Quiet != nil {
		v.quiet = *a.Quiet
		return true
	}
	if a.check(len(v.page.about.Cameras)) != nil {
		return false
	}
	if !v.page.about.Pictures {
		return true
	}
	if before, waiting := v.wants[a.Camera]; waiting {
		if before.network == a.Network {
			return true // one at a time
		}
		before.cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	w := want{a.Network, cancel, new(int)}
	v.wants[a.Camera] = w
	v.asking.Go(func() {
		defer cancel()
		v.fetch(ctx, a, w)
	})
	return true
}

// fetch waits for a picture and hands it to write.
func (v *viewer) fetch(ctx context.Context, a ask, w want) {
	picture, err := v.page.live.Picture(ctx, v.page.about.Cameras[a.Camera].Name, a.Network, a.After)
	v.mu.Lock()
	if v.wants[a.Camera].id == w.id {
		delete(v.wants, a.Camera)
	}
	v.mu.Unlock()
	if err != nil {
		return // the viewer has gone, or wants another view; a frame that cannot be encoded is not shown
	}
	message, err := v.page.prepared.of(a.Camera, a.Network, picture)
	if err != nil {
		return // a picture is no message that gorilla/websocket refuses
	}
	select {
	case v.pictures <- message:
	case <-ctx.Done():
	}
}

// write sends what is new until ctx ends or the viewer does not take it within writeLimit.
func (v *viewer) write(ctx context.Context) {
	tick, ping := time.NewTicker(stateEvery), time.NewTicker(pingEvery)
	defer tick.Stop()
	defer ping.Stop()
	changed := make(chan struct{}, 1)
	defer v.page.live.Watch(changed)()
	err := v.news()
	for err == nil {
		select {
		case <-ctx.Done():
			v.end(websocket.CloseGoingAway, "the agent ends")
			return
		case b := <-v.pictures:
			err = v.sendPrepared(b)
		case <-changed:
			err = v.changes()
		case <-tick.C:
			if err = v.allowed(); err == nil {
				err = v.news()
			}
		case <-ping.C:
			err = v.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeLimit))
		}
	}
}

var errEnded = errors.New("the session has ended")

// allowed ends, once a second, the socket of a session that has ended.
func (v *viewer) allowed() error {
	now := time.Now()
	if v.rights.Holds == nil || now.Sub(v.sent.held) < lookEvery {
		return nil
	}
	if v.sent.held = now; v.rights.Holds() {
		return nil
	}
	v.end(websocket.ClosePolicyViolation, errEnded.Error())
	return errEnded
}

func (v *viewer) send(b []byte) error {
	if err := v.conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	return v.conn.WriteMessage(websocket.TextMessage, b)
}

func (v *viewer) sendPrepared(m *websocket.PreparedMessage) error {
	if err := v.conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	return v.conn.WritePreparedMessage(m)
}

func (v *viewer) say(message any) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return v.send(b)
}

const (
	stateCameras = 6 // in one message, which stays below 4 KB with 32 classes each
	// stateAtLeast is the longest silence: who hears nothing for longer knows that the agent is gone.
	stateAtLeast = 2 * time.Second
	quietAtLeast = 10 * time.Second
	// lookEvery is how often is looked for what is not well, and whether the session still holds.
	lookEvery = time.Second
)

func (v *viewer) isQuiet() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.quiet
}

// changes sends the label changes that the viewer does not know yet.
func (v *viewer) changes() error {
	if labels, _ := v.page.live.Labels(); !slices.Equal(labels, v.sent.labels) {
		return nil // of another network, of which news tells first
	}
	for i := range v.sent.states {
		into := &v.sent.states[i]
		if err := v.page.live.Changes(v.page.about.Cameras[i].Name, into); err != nil {
			return err
		}
		if err := v.labels(i, into); err != nil {
			return err
		}
	}
	return nil
}

// labels sends the fresh label changes of a stream, oldest first; who does not look gets none.
func (v *viewer) labels(i int, s *live.State) error {
	if v.isQuiet() {
		return nil
	}
	for _, c := range s.Fresh {
		if err := v.say(newLabel{"label", i, c.To, round4(c.Score), c.Time}); err != nil {
			return err
		}
	}
	return nil
}

// news sends what has changed since the last time.
func (v *viewer) news() error {
	s, p := &v.sent, v.page
	quiet, now := v.isQuiet(), time.Now()
	if quiet && now.Sub(s.last) < quietAtLeast {
		return nil
	}
	labels, _ := p.live.Labels()
	if _, offset := p.zone(); !s.any || offset != s.offset || !slices.Equal(labels, s.labels) {
		if err := v.say(p.hello(v.rights)); err != nil {
			return err
		}
		s.labels, s.offset, s.versions = labels, offset, make([]uint64, len(p.about.Cameras))
		s.states = make([]live.State, len(p.about.Cameras))
		for i := range s.versions {
			s.versions[i] = ^uint64(0)
		}
	}
	out := state{Type: "state", Now: now.UnixMilli(), Noted: p.live.Noted()}
	if now.Sub(s.looked) >= lookEvery {
		s.looked = now
		if t := append([]Trouble{}, p.agent.Troubles()...); !s.any || !reflect.DeepEqual(t, s.troubles) {
			s.troubles, out.Troubles = t, &t
		}
	}
	fresh, err := v.cameras(&out)
	if err != nil {
		return err
	}
	if !fresh && s.any && out.Troubles == nil && out.Noted == s.noted && now.Sub(s.last) < stateAtLeast {
		return nil
	}
	s.any, s.noted, s.last = true, out.Noted, now
	return v.say(out)
}

// cameras adds the streams with news to out; of many, the first are sent at once.
func (v *viewer) cameras(out *state) (fresh bool, err error) {
	for i := range v.page.about.Cameras {
		into := &v.sent.states[i]
		if err := v.page.live.State(v.page.about.Cameras[i].Name, into); err != nil {
			return false, errors.New("a camera of the page is none of live")
		}
		if err := v.labels(i, into); err != nil {
			return false, err
		}
		if into.Version == v.sent.versions[i] {
			continue
		}
		v.sent.versions[i] = into.Version
		out.Cameras, fresh = append(out.Cameras, stateOf(i, into, v.sent.labels)), true
		if len(out.Cameras) == stateCameras {
			if err := v.say(out); err != nil {
				return false, err
			}
			out.Cameras = out.Cameras[:0]
		}
	}
	return fresh, nil
}
