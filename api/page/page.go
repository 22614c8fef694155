// Package page is the live page: its files, which are embedded, the socket that feeds it, and the
// pictures for other programs.
//
//	live ──state, pictures──▶ one WebSocket for each viewer ──▶ browser
//
// It trusts whoever stands before it to have decided on Rights. Nothing is done while nobody looks.
package page

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/samples"
)

// Agent is what the page shows besides what live knows, and what it can ask for. It is called from
// any goroutine. What changes something may take seconds, the rest must not wait.
type Agent interface {
	// Troubles lists what is not well now, the worst first.
	Troubles() []Trouble
	// Device is everything that the view of the device shows.
	Device() Device
	// SetThreshold and Enable change a stream's camera, and outlive a restart, as over MQTT.
	SetThreshold(stream string, score float64) error
	Enable(stream string, on bool) error
	// SetClassThreshold does so for one label; nil: it has no threshold of its own any more.
	SetClassThreshold(stream, label string, score *float64) error
	// Activate makes an installed bundle the one that runs, as the MQTT command does. The agent may
	// begin anew, a moment after it has returned.
	Activate(ctx context.Context, sha256 string) error
	// RollBack activates the bundle that was active before, as Activate does.
	RollBack(ctx context.Context) error
	// Examine looks at the machine and the settings, as 'doctor' does.
	Examine(ctx context.Context) ([]Finding, error)
	// Teacher corrects the network.
	Teacher() Teacher
	// Samples are the kept pictures; nil: none are kept.
	Samples() *samples.Review
	// Acted is told of everything that was done, for the journal.
	Acted(by, done, camera string)
}

// Trouble is one thing that is not well.
type Trouble struct {
	Part   string `json:"part"`   // cameras, broker, queue, model, engine, thermal, start
	Status string `json:"status"` // degraded or failed
	Reason string `json:"reason"` // for people
}

// About is what does not change while the agent runs.
type About struct {
	Version, Commit string
	ID, Name, Site  string // of the device
	Cameras         []Camera
	Pictures        bool // may be shown
	Unsafe          bool // the page can be reached from other machines, without TLS
	Samples         bool // are kept
	CanAct          bool // there is a token for it
}

// Camera is one stream as it is configured.
type Camera struct {
	Name   string    `json:"name"`   // of the stream
	Camera string    `json:"camera"` // that it belongs to
	Region []float64 `json:"region"` // left, top, width, height; empty: the whole picture
	Pixels bool      `json:"pixels"` // Region is in pixels, not in shares of the picture
}

// Rights are what a request may do.
type Rights struct {
	View, Act bool
	By        string      // who it is, for the record: a session or an address
	Holds     func() bool // tells later whether the rights are still given; nil: they are
}

type rightsKey struct{}

// WithRights is r with rights that RightsOf finds.
func WithRights(r *http.Request, rights Rights) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), rightsKey{}, rights))
}

// RightsOf are those of WithRights; none where there were none.
func RightsOf(r *http.Request) Rights {
	rights, _ := r.Context().Value(rightsKey{}).(Rights)
	return rights
}

const (
	mostViewers = 16 // at once
	stateEvery  = 200 * time.Millisecond
	pingEvery   = 20 * time.Second
	writeLimit  = 5 * time.Second
)

// Page answers for the live page.
type Page struct {
	about   About
	live    *live.Monitor
	agent   Agent
	viewers atomic.Int32
	// thumbnails is held while one is made.
	thumbnails sync.Mutex
	// replays is held while frames are decided on anew: whoever asks a lot gets one core at most.
	replays  sync.Mutex
	open     sync.WaitGroup // sockets and streams of pictures
	checkup  checkup
	prepared prepared
	zone     func() (name string, offset int) // of the device, seconds east of UTC
}

// New makes the page of an agent. m is nil where nothing is remembered: then there is only the list
// of paths.
func New(about About, m *live.Monitor, agent Agent) *Page {
	zone := func() (string, int) { return time.Now().Zone() }
	return &Page{about: about, live: m, agent: agent, zone: zone}
}

// Viewers are how many look at the moment.
func (p *Page) Viewers() int { return int(p.viewers.Load()) }

// Encoded is how many pictures were encoded for viewers so far.
func (p *Page) Encoded() uint64 { return p.live.Encoded() }

// Wait returns when the last viewer has gone: call it after the contexts of all requests ended.
func (p *Page) Wait() { p.open.Wait() }

// enter counts a viewer, unless there are too many.
func (p *Page) enter(w http.ResponseWriter) bool {
	if p.viewers.Add(1) > mostViewers {
		p.viewers.Add(-1)
		w.Header().Set("Retry-After", "10")
		http.Error(w, "16 viewers look already: close one", http.StatusServiceUnavailable)
		return false
	}
	p.open.Add(1)
	return true
}

func (p *Page) leave() {
	if p.viewers.Add(-1) == 0 {
		p.prepared.clear()
	}
	p.open.Done()
}

// Routes adds the paths of the page to mux.
func (p *Page) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /static/", serveStatic)
	mux.HandleFunc("GET /api/socket", p.socket)
	mux.HandleFunc("GET /api/history", p.history)
	mux.HandleFunc("GET /api/replay", p.replay)
	mux.HandleFunc("GET /api/events", p.events)
	mux.HandleFunc("GET /api/device", p.device)
	mux.HandleFunc("POST /api/threshold", p.act(p.setThreshold))
	mux.HandleFunc("POST /api/threshold/label", p.act(p.setClassThreshold))
	mux.HandleFunc("POST /api/enabled", p.act(p.setEnabled))
	mux.HandleFunc("POST /api/model/activate", p.act(p.activate))
	mux.HandleFunc("POST /api/model/rollback", p.act(p.rollBack))
	mux.HandleFunc("GET /api/doctor", p.examined)
	mux.HandleFunc("POST /api/doctor", p.act(p.examine))
	mux.HandleFunc("GET /api/channels", p.channels)
	mux.HandleFunc("GET /api/teach", p.teaching)
	mux.HandleFunc("GET /api/teach/report", p.teachReport)
	mux.HandleFunc("GET /api/teach/report.html", p.teachReportFile)
	mux.HandleFunc("POST /api/teach", p.act(p.teach))
	mux.HandleFunc("POST /api/teach/stop", p.act(p.stopTeaching))
	mux.HandleFunc("POST /api/teach/use", p.act(p.useTaught))
	mux.HandleFunc("GET /api/samples", p.samples)
	mux.HandleFunc("GET /api/samples/picture", p.samplePicture)
	mux.HandleFunc("GET /api/samples.zip", p.samplesZip)
	mux.HandleFunc("POST /api/samples/mark", p.act(p.markSamples))
	mux.HandleFunc("POST /api/samples/delete", p.act(p.deleteSamples))
	mux.HandleFunc("GET /live/{file}", p.picture)
}

// Index serves the page itself.
func (p *Page) Index(w http.ResponseWriter, r *http.Request) { serveFile(w, r, "index.html") }
