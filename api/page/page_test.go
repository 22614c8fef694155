package page

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/vggse/vggse-agent/live"
	"github.com/vggse/vggse-agent/samples"
	"github.com/vggse/vggse-agent/vision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hangs ends a test that waits for what does not come.
const hangs = time.Minute

// stub is an agent that remembers what it was asked for.
type stub struct {
	mu     sync.Mutex
	asked  []string
	fails  error
	review *samples.Review
	device Device
	lesson Teaching
	report string // folder of reports

	troubles []Trouble
}

func (s *stub) note(format string, args ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf(format, args...))
	return s.fails
}

func (s *stub) Troubles() []Trouble {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.troubles
}
func (s *stub) Device() Device {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.device.Sentence = "all well"
	return s.device
}
func (s *stub) RollBack(context.Context) error { return s.note("roll back") }
func (s *stub) Examine(context.Context) ([]Finding, error) {
	return []Finding{{"disk", "warn", "3 % free", "remove something"}, {"clock", "ok", "set", ""}}, s.note("examine")
}
func (s *stub) Teacher() Teacher { return s }
func (s *stub) Teaching() Teaching {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lesson
}
func (s *stub) Begin(flip bool) error     { return s.note("teach, flip %t", flip) }
func (s *stub) Stop() error               { return s.note("stop teaching") }
func (s *stub) Use(context.Context) error { return s.note("use what was taught") }
func (s *stub) Report(name string) (*os.File, error) {
	return os.Open(s.report + "/" + name)
}
func (s *stub) SetThreshold(stream string, score float64) error {
	return s.note("threshold %s %g", stream, score)
}
func (s *stub) SetClassThreshold(stream, label string, score *float64) error {
	if score == nil {
		return s.note("threshold %s %s gone", stream, label)
	}
	return s.note("threshold %s %s %g", stream, label, *score)
}
func (s *stub) Activate(_ context.Context, sum string) error {
	return s.note("activate %s", sum)
}
func (s *stub) Samples() *samples.Review            { return s.review }
func (s *stub) Enable(stream string, on bool) error { return s.note("enable %s %t", stream, on) }
func (s *stub) Acted(by, done, camera string)       { _ = s.note("%s: %s (%s)", by, done, camera) }

// site is a page that runs, for whoever has the rights.
type site struct {
	*httptest.Server
	page    *Page
	live    *live.Monitor
	agent   *stub
	labels  []string
	handler http.Handler
	cut     context.CancelFunc // ends all requests
}

// markup would do something if it were more than text.
const markup = `<img src=x onerror="document.title='broken'">`

func serve(t *testing.T, rights Rights) *site {
	t.Helper()
	return serveOf(t, rights, []string{"a", "b"}, []string{"bolt", markup})
}

// serveOf is serve with those cameras and labels.
func serveOf(t *testing.T, rights Rights, cameras, labels []string) *site {
	t.Helper()
	s := &site{live: live.New(cameras, live.JPEG{Width: 320, Quality: 80}), agent: &stub{}, labels: labels}
	s.agent.troubles = []Trouble{{Part: "broker", Status: "degraded", Reason: "tcp://b:1883"}}
	err := s.live.Use(live.Network{
		Labels: s.labels, Size: 8, NoBlocks: "no signals here",
		Preprocess: vision.Preprocess{Resize: vision.ResizeSquash, Filter: vision.FilterNearest,
			Channels: vision.ChannelsRGB, Scale: 1, Std: [3]float64{1, 1, 1}},
		Decide: func(string) vision.DecideConfig {
			return vision.DecideConfig{TopK: 2, Threshold: 0.6, Hysteresis: 0.1, Confirm: 1}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	about := About{Version: "1", ID: "edge", Pictures: true, Samples: true}
	for _, name := range cameras {
		about.Cameras = append(about.Cameras, Camera{Name: name, Camera: name})
	}
	s.page = New(about, s.live, s.agent)
	mux := http.NewServeMux()
	s.page.Routes(mux)
	mux.HandleFunc("GET /{$}", s.page.Index)
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Secure(w.Header())
		mux.ServeHTTP(w, WithRights(r, rights))
	})
	s.start(t, "127.0.0.1:0")
	return s
}

// start serves the page at an address until the test ends, or cut.
func (s *site) start(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(s.handler)
	server.Listener.Close()
	server.Listener = listener
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	s.Server = server
	s.cut = func() {
		cancel()
		server.CloseClientConnections()
		server.Close()
		s.page.Wait()
		http.DefaultClient.CloseIdleConnections()
	}
	t.Cleanup(s.cut)
}

// decide lets the camera a see a grey frame, and the network say a label of it.
func (s *site) decide(frame uint64, label int, score float32, changed bool) {
	f := &vision.Frame{Seq: frame, Time: time.Now()}
	f.Resize(16, 8)
	for i := range f.Pix {
		f.Pix[i] = 100
	}
	top := []vision.Class{{Label: s.labels[label], Index: label, Score: score}, {Index: 1 - label, Score: 1 - score}}
	d := &vision.Decision{Camera: "a", Frame: frame, Time: f.Time, Top: top, Stable: top[0], Changed: changed,
		Before: vision.Class{Index: -1}}
	s.live.Observe(d)
	s.live.Record(d, f)
}

func (s *site) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/api/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(hangs))
	return conn
}

// next reads messages until one is what is wanted.
func next(t *testing.T, conn *websocket.Conn, want func(kind int, b []byte) bool) []byte {
	t.Helper()
	for {
		kind, b, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if want(kind, b) {
			return b
		}
	}
}

func text(part string) func(int, []byte) bool {
	return func(kind int, b []byte) bool {
		return kind == websocket.TextMessage && bytes.Contains(b, []byte(part))
	}
}

// A viewer hears what there is, then what is new, and gets a picture when it asks for one.
func TestSocket(t *testing.T) {
	s := serve(t, Rights{View: true})
	conn := s.dial(t)
	var first hello
	if err := json.Unmarshal(next(t, conn, text(`"type":"hello"`)), &first); err != nil {
		t.Fatal(err)
	}
	if first.Device != "edge" || len(first.Cameras) != 2 || first.Labels[1] != markup || first.Act ||
		!first.Pictures || first.Unknown != "unknown" {
		t.Errorf("hello: %+v", first)
	}
	var now state
	if err := json.Unmarshal(next(t, conn, text(`"type":"state"`)), &now); err != nil {
		t.Fatal(err)
	}
	if now.Troubles == nil || (*now.Troubles)[0].Reason != "tcp://b:1883" || len(now.Cameras) != 2 ||
		now.Cameras[0].Seen || !now.Cameras[0].On {
		t.Errorf("state: %+v", now)
	}
	s.decide(7, 1, 0.875, true)
	if err := json.Unmarshal(next(t, conn, text(`"frame":7`)), &now); err != nil {
		t.Fatal(err)
	}
	if c := now.Cameras[0]; c.Label != 1 || c.Score != 0.875 || c.Top[0] != [2]float64{1, 0.875} ||
		c.Threshold != 0.6 || c.Began[0] != [2]uint64{1, 1} || len(now.Cameras) != 1 {
		t.Errorf("after a decision: %+v", now)
	}
	for number := uint64(1); number <= 2; number++ {
		if err := conn.WriteJSON(ask{Camera: 0, After: number - 1}); err != nil {
			t.Fatal(err)
		}
		b := s.picture(t, conn, 100+number)
		if b[0] != 1 || b[1] != 0 || binary.BigEndian.Uint16(b[4:]) != 16 || binary.BigEndian.Uint16(b[6:]) != 8 ||
			binary.BigEndian.Uint64(b[8:]) != 100+number || binary.BigEndian.Uint64(b[24:]) != number ||
			binary.BigEndian.Uint16(b[36:]) != 65535 {
			t.Errorf("header: %x", b[:headerSize])
		}
		if img, err := jpeg.Decode(bytes.NewReader(b[headerSize:])); err != nil || img.Bounds().Dx() != 16 {
			t.Errorf("picture: %v", err)
		}
	}
	if n := s.page.Viewers(); n != 1 {
		t.Errorf("%d viewers, want 1", n)
	}
}

// picture feeds frames with the number until the viewer has got a picture.
// TestTroubles: what is not well is told also while frames come all the time.
func TestTroubles(t *testing.T) {
	s := serve(t, Rights{View: true})
	s.feed(t)
	conn := s.dial(t)
	next(t, conn, text(`"seen":true`))
	s.agent.mu.Lock()
	s.agent.troubles = []Trouble{{Part: "broker", Status: "degraded", Reason: "gone away"}}
	s.agent.mu.Unlock()
	next(t, conn, text("gone away"))
	s.agent.mu.Lock()
	s.agent.troubles = nil
	s.agent.mu.Unlock()
	next(t, conn, text(`"troubles":[]`))
}

// TestEveryLabel: each change of the label is told, in its order, however close to the one before, and
// a State that comes between tells none that is still to come.
func TestEveryLabel(t *testing.T) {
	s := serve(t, Rights{View: true})
	conn := s.dial(t)
	s.decide(1, 0, 0.5, false)
	next(t, conn, text(`"seen":true`))
	const changes = 300
	for n := uint64(2); n < changes+2; n++ {
		s.decide(n, int(n+1)%2, 0.9, true)
		if n%40 == 0 {
			time.Sleep(stateEvery / 2)
		}
	}
	got, held := 0, 0
	for got < changes {
		next(t, conn, func(_ int, b []byte) bool {
			var m struct {
				Type    string
				Label   int
				Since   int64
				Cameras []struct{ Label int }
			}
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			switch {
			case m.Type == "label" && m.Label == held:
				t.Fatalf("after %d changes label %d is told twice", got, held)
			case m.Type == "label":
				held = m.Label
				got++
			case len(m.Cameras) > 0 && m.Cameras[0].Label != held:
				t.Fatalf("after %d changes a state tells label %d, and %d holds", got, m.Cameras[0].Label, held)
			}
			return m.Type == "label"
		})
	}
}

func (s *site) picture(t *testing.T, conn *websocket.Conn, frame uint64) []byte {
	t.Helper()
	stop := make(chan struct{})
	var feeder sync.WaitGroup
	feeder.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				s.decide(frame, 1, 0.9, false)
			}
		}
	})
	defer feeder.Wait()
	defer close(stop)
	return next(t, conn, func(kind int, _ []byte) bool { return kind == websocket.BinaryMessage })
}

// What is no message of the page ends the socket; the seventeenth viewer is refused.
func TestSocketRefuses(t *testing.T) {
	s := serve(t, Rights{View: true})
	for _, message := range []string{"{", `{"camera":2}`, `{"camera":-1}`, strings.Repeat(" ", askLimit+1)} {
		conn := s.dial(t)
		if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				if !websocket.IsCloseError(err, websocket.ClosePolicyViolation, websocket.CloseMessageTooBig) {
					t.Errorf("%.20q: %v", message, err)
				}
				break
			}
		}
	}
	for end := time.Now().Add(hangs); s.page.Viewers() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d viewers stay", s.page.Viewers())
		}
	}
	for range mostViewers {
		s.dial(t)
	}
	_, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/api/socket", nil)
	if err == nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one viewer too many: %v", err)
	}
}

// A page of another site is refused; a program that names none is not.
func TestSocketOrigin(t *testing.T) {
	s := serve(t, Rights{View: true})
	address := "ws" + strings.TrimPrefix(s.URL, "http") + "/api/socket"
	for origin, want := range map[string]int{"http://evil.example": 403, "null": 403, s.URL: 101} {
		conn, answer, err := websocket.DefaultDialer.Dial(address, http.Header{"Origin": {origin}})
		if answer == nil || answer.StatusCode != want {
			t.Errorf("origin %s: %v, want %d", origin, err, want)
		}
		if conn != nil {
			conn.Close()
		}
	}
}

// Who may act is heard, remembered and written down; who may not, and what makes no sense, changes
// nothing.
func TestActions(t *testing.T) {
	s := serve(t, Rights{View: true, Act: true, By: "session 1"})
	post := func(path, body string) (int, string) {
		t.Helper()
		answer, err := http.Post(s.URL+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(b)
	}
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/api/threshold", `{"camera":"a","threshold":0.75}`, 200}, {"/api/threshold", `{"camera":"a"}`, 422},
		{"/api/threshold", `{"camera":"a","threshold":1.5}`, 422}, {"/api/threshold", `{"camera":"a","more":1}`, 422},
		{"/api/enabled", `{"camera":"b","on":false}`, 200}, {"/api/enabled", `{"camera":"b"}`, 422},
		{"/api/model/activate", `{"sha256":"../x"}`, 422},
		{"/api/model/activate", `{"sha256":"` + strings.Repeat("a1", 32) + `"}`, 200},
		{"/api/enabled", strings.Repeat(" ", BodyLimit) + "{}", 422},
	} {
		if got, said := post(c.path, c.body); got != c.want {
			t.Errorf("%s %.40s = %d %s, want %d", c.path, c.body, got, said, c.want)
		}
	}
	want := "[threshold a 0.75 session 1: threshold 0.75 (a) enable b false session 1: disabled (b) " +
		"activate " + strings.Repeat("a1", 32) + " session 1: model a1a1a1a1a1a1 activated ()]"
	if got := fmt.Sprint(s.agent.asked); got != want {
		t.Errorf("asked: %s\nwant   %s", got, want)
	}
	if e := s.live.Events(0); len(e) != 3 || e[0].By != "session 1" || e[1].Text != "disabled" || e[1].Camera != "b" {
		t.Errorf("events: %+v", e)
	}
	s.agent.fails = errors.New("no such camera")
	if got, said := post("/api/enabled", `{"camera":"x","on":true}`); got != 422 || !strings.Contains(said, "no such") {
		t.Errorf("what fails: %d %s", got, said)
	}
	looker := serve(t, Rights{View: true})
	answer, err := http.Post(looker.URL+"/api/threshold", "", strings.NewReader(`{"camera":"a","threshold":0.75}`))
	if err != nil || answer.StatusCode != 403 || len(looker.agent.asked) != 0 {
		t.Errorf("without the right: %v, %v", answer.Status, looker.agent.asked)
	}
	answer.Body.Close()
}

func get(t *testing.T, address string) (int, http.Header, string) {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b)
}

func TestQuestions(t *testing.T) {
	s := serve(t, Rights{View: true})
	s.decide(1, 0, 0.9, true)
	s.live.Note(live.Event{Kind: live.KindBroker, Text: "connected"})
	for path, want := range map[string]string{
		"/api/history?camera=a&span=15m":      `"label":[0]`,
		"/api/history?camera=x&span=15m":      `no camera`,
		"/api/history?camera=a&span=1y":       `15m or 24h`,
		"/api/replay?camera=a&threshold=0.95": `"outcomes":[{"threshold":0.95,"changes":0,"per_hour":0,"unknown":1}]`,
		"/api/replay?camera=a&threshold=NaN":  `between 0 and 1`,
		"/api/replay?camera=a&threshold=":     `between 0 and 1`,
		"/api/events":                         `"text":"connected"`,
		"/api/events?after=-1":                `number of an event`,
		"/api/device":                         `"sentence":"all well"`,
	} {
		if _, _, got := get(t, s.URL+path); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if _, _, got := get(t, s.URL+"/api/replay?camera=a&threshold=0.5&curve=1"); strings.Count(got, "per_hour") !=
		1+curveSteps {
		t.Errorf("the curve: %s", got)
	}
}

func TestPicturesForPrograms(t *testing.T) {
	s := serve(t, Rights{View: true})
	stop := make(chan struct{})
	var feeder sync.WaitGroup
	feeder.Go(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				s.decide(n, 1, 0.9, false)
			}
		}
	})
	defer feeder.Wait()
	defer close(stop)
	status, header, body := get(t, s.URL+"/live/a.jpg")
	if _, err := jpeg.Decode(strings.NewReader(body)); status != 200 || err != nil ||
		header.Get("Content-Type") != "image/jpeg" || header.Get("X-Frame-Time") == "" {
		t.Errorf("still: %d %v %v", status, header, err)
	}
	for _, path := range []string{"/live/x.jpg", "/live/a", "/live/a.png", "/live/..%2fa.jpg"} {
		if status, _, _ := get(t, s.URL+path); status != 404 {
			t.Errorf("%s = %d, want 404", path, status)
		}
	}
	answer, err := http.Get(s.URL + "/live/a.mjpeg")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	parts := multipart.NewReader(bufio.NewReader(answer.Body), boundary)
	for range 2 {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jpeg.Decode(part); err != nil || part.Header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("a part of the stream: %v, %v", part.Header, err)
		}
	}
	s.page.about.Pictures = false
	if status, _, said := get(t, s.URL+"/live/a.jpg"); status != 403 || !strings.Contains(said, "http.pictures") {
		t.Errorf("with pictures switched off: %d %s", status, said)
	}
}

// Samples are listed, shown, marked, deleted and packed; what is none is refused.
func TestSamples(t *testing.T) {
	s := serve(t, Rights{View: true, Act: true})
	if status, _, said := get(t, s.URL+"/api/samples"); status != 404 || !strings.Contains(said, "samples.dir") {
		t.Errorf("without a folder: %d %s", status, said)
	}
	names := s.keep(t, 3)
	var listed struct {
		Total, Marked, Found int
		Labels               []string
		Samples              []samples.Sample
	}
	list := func(query string) {
		t.Helper()
		_, _, text := get(t, s.URL+"/api/samples"+query)
		if err := json.Unmarshal([]byte(text), &listed); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	list("?order=uncertain")
	if listed.Total != 3 || listed.Samples[0].Name != names[0] || listed.Samples[0].Top[0].Score != 0.5 {
		t.Fatalf("listed: %+v, names %v", listed, names)
	}
	for query, want := range map[string]int{"?below=0.6": 1, "?camera=x": 0, "?label=bolt": 3, "?label=x": 0,
		"?marked=yes": 0, "?marked=no&offset=1": 2, "?offset=-1": 3, "?offset=x": 3} {
		if list(query); len(listed.Samples) != want {
			t.Errorf("%s: %d samples, want %d", query, len(listed.Samples), want)
		}
	}
	for query, want := range map[string]string{"": "image/png", "&small=1": "image/jpeg"} {
		status, header, _ := get(t, s.URL+"/api/samples/picture?name="+names[0]+query)
		if status != 200 || header.Get("Content-Type") != want {
			t.Errorf("picture %s: %d %v", query, status, header)
		}
	}
	for _, name := range []string{"", "../" + names[0], "/etc/passwd", "x"} {
		if status, _, _ := get(t, s.URL+"/api/samples/picture?name="+url.QueryEscape(name)); status != 404 {
			t.Errorf("picture %q = %d, want 404", name, status)
		}
	}
	post := func(path string, body any) int {
		t.Helper()
		b, _ := json.Marshal(body)
		answer, err := http.Post(s.URL+path, "application/json", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	right, blank, long := "../nut", " ", strings.Repeat("x", labelLimit+1)
	for _, c := range []struct {
		path string
		body chosen
		want int
	}{
		{"/api/samples/mark", chosen{names[:2], &right}, 200}, {"/api/samples/mark", chosen{nil, &right}, 422},
		{"/api/samples/mark", chosen{names, &blank}, 422}, {"/api/samples/mark", chosen{names, &long}, 422},
		{"/api/samples/mark", chosen{[]string{"../x"}, &right}, 422},
		{"/api/samples/mark", chosen{names[1:2], nil}, 200},
		{"/api/samples/delete", chosen{names[2:], nil}, 200}, {"/api/samples/delete", chosen{names[2:], nil}, 422},
	} {
		if got := post(c.path, c.body); got != c.want {
			t.Errorf("%s %.80v = %d, want %d", c.path, c.body, got, c.want)
		}
	}
	if list("?marked=yes"); listed.Total != 2 || listed.Marked != 1 || listed.Samples[0].Right != right ||
		!slices.Contains(listed.Labels, right) {
		t.Errorf("after all that: %+v", listed)
	}
	_, _, packed := get(t, s.URL+"/api/samples.zip")
	z, err := zip.NewReader(strings.NewReader(packed), int64(len(packed)))
	if err != nil || len(z.File) != 2 || z.File[0].Name != "%2E.%2Fnut/"+names[0]+".png" {
		t.Errorf("packed: %v, %v", z, err)
	}
}

// How teaching stands is seen by who may look, begun and used by who may act; its report holds no
// folder of the device, and comes as a file besides.
func TestTeach(t *testing.T) {
	s := serve(t, Rights{View: true})
	if status, _, said := get(t, s.URL+"/api/teach"); status != 200 || !strings.Contains(said, `"off":"samples.dir"`) {
		t.Errorf("without samples: %d %s", status, said)
	}
	if status, _, said := get(t, s.URL+"/api/teach/report"); status != 404 ||
		!strings.Contains(said, "nothing was taught") {
		t.Errorf("without a report: %d %s", status, said)
	}
	names := s.keep(t, 3)
	label := "wing"
	if n, err := s.agent.review.Mark(names[:2], &label); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	s.agent.lesson = Teaching{State: TeachRunning, Step: 1, Steps: 2, What: "reading pictures", Share: 0.5}
	_, _, said := get(t, s.URL+"/api/teach")
	var l lesson
	if err := json.Unmarshal([]byte(said), &l); err != nil {
		t.Fatal(err)
	}
	if want := (labelled{"wing", 2, false}); l.Off != "" || l.State != TeachRunning || len(l.Labels) != 3 ||
		l.Labels[2] != want || l.Labels[0] != (labelled{"bolt", 0, true}) {
		t.Errorf("a lesson: %+v", l)
	}
	s.agent.report = t.TempDir()
	text := `{"verdict":"better","doubted":[{"file":"/var/lib/x/wing/` + names[0] + `.png"}],"other":[1]}`
	for name, text := range map[string]string{"report.json": text, "report.html": "<p>"} {
		if err := os.WriteFile(s.agent.report+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, said := get(t, s.URL+"/api/teach/report"); strings.Contains(said, "/var") ||
		!strings.Contains(said, names[0]) || !strings.Contains(said, `"verdict":"better"`) {
		t.Errorf("the report: %s", said)
	}
	if _, h, said := get(t, s.URL+"/api/teach/report.html"); said != "<p>" ||
		!strings.HasPrefix(h.Get("Content-Disposition"), "attachment") {
		t.Errorf("the file: %s, %v", said, h)
	}
	acting := serve(t, Rights{View: true, Act: true, By: "me"})
	acting.agent.review = s.agent.review
	for path, want := range map[string]string{"/api/teach": "teach, flip true", "/api/teach/stop": "stop teaching",
		"/api/teach/use": "use what was taught", "/api/model/rollback": "roll back"} {
		body := "{}"
		if path == "/api/teach" {
			body = `{"flip":true}`
		}
		for _, to := range []struct {
			*site
			status int
		}{{s, 403}, {acting, 200}} {
			answer, err := http.Post(to.URL+path, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != to.status {
				t.Errorf("%s = %d, want %d", path, answer.StatusCode, to.status)
			}
		}
		if asked := acting.agent.asked; asked[len(asked)-2] != want || !strings.HasPrefix(asked[len(asked)-1], "me: ") {
			t.Errorf("%s asked for %q, want %q and the journal", path, asked, want)
		}
	}
	if s.agent.asked != nil {
		t.Errorf("who may look alone has done %q", s.agent.asked)
	}
}

// The device is examined on request of who may act, one request at a time and not at once again;
// what was found is there for who may look.
func TestExamine(t *testing.T) {
	s := serve(t, Rights{View: true, Act: true, By: "me"})
	if _, _, said := get(t, s.URL+"/api/doctor"); said != `{"at":0,"findings":[]}`+"\n" {
		t.Errorf("before: %s", said)
	}
	for i, want := range []int{200, 422} { // the second too soon
		answer, err := http.Post(s.URL+"/api/doctor", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != want {
			t.Errorf("examination %d = %d, want %d", i, answer.StatusCode, want)
		}
	}
	if _, _, said := get(t, s.URL+"/api/doctor"); !strings.Contains(said,
		`{"check":"disk","status":"warn","found":"3 % free",`+
			`"cure":"remove something"}`) {
		t.Errorf("found: %s", said)
	}
	if asked := fmt.Sprint(s.agent.asked); asked != "[examine me: device examined ()]" {
		t.Errorf("asked: %s", asked)
	}
}

// keep keeps n samples of the camera a, the first the least certain, and returns their names.
func (s *site) keep(t *testing.T, n int) (names []string) {
	t.Helper()
	dir := t.TempDir()
	folder, err := samples.Open(samples.Config{Dir: dir, Bytes: 1 << 20, Count: 10})
	if err != nil {
		t.Fatal(err)
	}
	var picture vision.Frame
	picture.Resize(64, 36)
	for i := range n {
		d := &vision.Decision{Camera: "a", Time: time.Now().Add(time.Duration(i) * time.Second),
			Top: []vision.Class{{Label: "bolt", Score: 0.5 + float32(i)/8}, {Label: "nut", Index: 1, Score: 0.25}}}
		if err := folder.Save(d, &picture, "uncertain", "abc"); err != nil {
			t.Fatal(err)
		}
	}
	if s.agent.review, err = samples.OpenReview(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.agent.review.Close() })
	kept, err := s.agent.review.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range slices.Backward(kept) {
		names = append(names, one.Name)
	}
	return names
}

// vendored are the files that others wrote, as they came: the npm package uplot 1.6.32 (MIT).
var vendored = map[string]string{
	"vendor/uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
	"vendor/uPlot.min.css":     "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
	"vendor/uPlot.LICENSE":     "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}

// What is served lacks indentation and comments: no text and no comment of ours goes over several
// lines, and the lines keep their numbers.
func TestLean(t *testing.T) {
	for name, f := range served {
		text, err := files.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "vendor/") {
			continue
		}
		own, lean := strings.Split(string(text), "\n"), strings.Split(string(f.content), "\n")
		if len(own) != len(lean) {
			t.Fatalf("%s has %d lines, and %d are served", name, len(own), len(lean))
		}
		for i, line := range own {
			if strings.Count(line, "`")%2 != 0 || strings.Count(line, "/*") != strings.Count(line, "*/") {
				t.Errorf("%s:%d: a text or comment goes over several lines", name, i+1)
			}
			line = strings.TrimSpace(line)
			block := strings.HasPrefix(line, "/*") && strings.HasSuffix(line, "*/") && strings.Count(line, "*/") == 1
			comment := block || strings.HasPrefix(line, "//")
			if comment != (lean[i] == "" && line != "") || !comment && lean[i] != line {
				t.Errorf("%s:%d: %q is served as %q", name, i+1, line, lean[i])
			}
		}
	}
	if got := string(lean([]byte("  a // b\n\n\t// c\n/* d */\n/* e */ f"))); got != "a // b\n\n\n\n/* e */ f" {
		t.Errorf("lean: %q", got)
	}
}

// The files of the page are small, come with a kind and a tag, and those of others are unchanged.
func TestStatic(t *testing.T) {
	s := serve(t, Rights{})
	total := 0
	for name, f := range served {
		total += len(f.content)
		if f.kind == "" {
			t.Errorf("%s has no kind", name)
		}
		if strings.HasPrefix(name, "vendor/") {
			if got := fmt.Sprintf("%x", sha256.Sum256(f.content)); got != vendored[name] {
				t.Errorf("%s has the SHA-256 %s, want %s", name, got, vendored[name])
			}
		}
		status, header, body := get(t, s.URL+"/static/"+name)
		if status != 200 || body != string(f.content) || header.Get("Content-Type") != f.kind ||
			header.Get("ETag") != f.etag {
			t.Errorf("%s = %d, %v", name, status, header)
		}
	}
	// What a browser loads that opens every view, in one language.
	total -= len(served["words.de.js"].content) + len(served["vendor/uPlot.LICENSE"].content)
	t.Logf("a browser loads %d bytes", total)
	if total > 150<<10 || len(served) < 8 {
		t.Errorf("%d files of %d bytes, want at most 150 KiB in one language", len(served), total)
	}
	r, _ := http.NewRequest("GET", s.URL+"/static/app.js", nil)
	r.Header.Set("If-None-Match", served["app.js"].etag)
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusNotModified {
		t.Errorf("the same tag: %v, %v", answer.Status, err)
	}
	answer.Body.Close()
	for _, path := range []string{"/static/", "/static/..%2fpage.go", "/static/vendor", "/static/none.js"} {
		if status, _, _ := get(t, s.URL+path); status != 404 {
			t.Errorf("%s = %d, want 404", path, status)
		}
	}
}

// Nothing in the page is inline, and nothing comes from elsewhere: the policy would refuse it.
func TestNothingInline(t *testing.T) {
	for name, f := range served {
		text := string(f.content)
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
			"new Function", "<style", " style=", "onclick=\"", "https://", "//cdn"} {
			if !strings.HasPrefix(name, "vendor/") && strings.Contains(text, bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
}

// Every word that the page asks for is there, in both languages.
func TestWords(t *testing.T) {
	en, de := keys(string(served["words.en.js"].content)), keys(string(served["words.de.js"].content))
	for key := range en {
		if !de[key] {
			t.Errorf("%s has no German", key)
		}
	}
	for key := range de {
		if !en[key] {
			t.Errorf("%s has no English", key)
		}
	}
	if len(en) < 100 {
		t.Errorf("%d words were found", len(en))
	}
	for name, f := range served {
		for _, m := range asked.FindAllStringSubmatch(string(f.content), -1) {
			if strings.HasSuffix(name, ".js") && !strings.HasPrefix(name, "vendor/") && !en[m[1]] {
				t.Errorf("%s asks for %q, and there is no such word", name, m[1])
			}
		}
	}
}

// A picture becomes a message once, whoever gets it, and none is kept when the last viewer has gone.
func TestPreparedOnce(t *testing.T) {
	s := serve(t, Rights{View: true})
	conns := []*websocket.Conn{s.dial(t), s.dial(t)}
	for _, c := range conns {
		if err := c.WriteJSON(ask{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range conns {
		s.picture(t, c, 1)
	}
	picture := &live.Picture{Bytes: []byte("JPEG")}
	first, err := s.page.prepared.of(0, false, picture)
	if again, _ := s.page.prepared.of(0, false, picture); err != nil || again != first {
		t.Errorf("a picture was made a message twice, %v", err)
	}
	if other, _ := s.page.prepared.of(0, true, picture); other == first {
		t.Error("the network's view is the same message")
	}
	for _, c := range conns {
		c.Close()
	}
	for end := time.Now().Add(hangs); len(s.page.prepared.kept()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("pictures are kept while nobody looks")
		}
	}
}

// kept are the pictures that have a message.
func (p *prepared) kept() []view {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.all))
}

// Whatever a viewer sends, it gets a picture, nothing, or the end.
func FuzzAsk(f *testing.F) {
	for _, text := range []string{`{"camera":0}`, `{"camera":1,"network":true,"after":9}`, `{"quiet":true}`, `[`,
		`null`} {
		f.Add([]byte(text))
	}
	m := live.New([]string{"a", "b"}, live.JPEG{Width: 320, Quality: 80})
	p := New(About{Pictures: true, Cameras: []Camera{{Name: "a"}, {Name: "b"}}}, m, &stub{})
	f.Fuzz(func(t *testing.T, text []byte) {
		ctx, cancel := context.WithCancel(context.Background())
		v := &viewer{page: p, pictures: make(chan *websocket.PreparedMessage), wants: make(map[int]want)}
		var a ask
		if json.Unmarshal(text, &a) == nil && v.take(ctx, a) && len(v.wants) > 1 {
			t.Errorf("%q: %d pictures are waited for", text, len(v.wants))
		}
		cancel()
		v.asking.Wait()
	})
}

// Whatever a question holds, it is answered or refused.
func FuzzQuestions(f *testing.F) {
	f.Add("/api/history", "camera=a&span=15m")
	f.Add("/api/replay", "camera=a&threshold=1e-9&curve=1")
	f.Add("/api/events", "after=18446744073709551615")
	f.Add("/api/samples/picture", "name=..%2f..%2fx&small=1")
	f.Add("/live/a.jpg", "")
	f.Add("/api/channels", "camera=a&after=-1")
	m := live.New([]string{"a"}, live.JPEG{Width: 320, Quality: 80})
	p := New(About{Cameras: []Camera{{Name: "a"}}}, m, &stub{})
	mux := http.NewServeMux()
	p.Routes(mux)
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path, r.URL.RawQuery = path, query
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, WithRights(r, Rights{View: true}))
		if w.Code >= 500 {
			t.Errorf("%q?%q = %d", path, query, w.Code)
		}
	})
}
