package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/vggse/vggse-agent/vision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeAgent says what the test wants.
type fakeAgent struct {
	mu      sync.Mutex
	stuck   error
	reasons []string
	figures Figures
}

func (a *fakeAgent) Stuck() error      { a.mu.Lock(); defer a.mu.Unlock(); return a.stuck }
func (a *fakeAgent) Unready() []string { a.mu.Lock(); defer a.mu.Unlock(); return a.reasons }
func (a *fakeAgent) Figures() Figures  { a.mu.Lock(); defer a.mu.Unlock(); return a.figures }

// serve runs a server until the test ends.
func serve(t *testing.T, c Config, agent Agent) *Server {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(c, Build{Version: "1.2.3", Commit: "abc", Go: "go1.26"}, agent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// get asks for a path; edit may change the request first.
func get(t *testing.T, s *Server, path string, edit func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.Address()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(r)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestProbes(t *testing.T) {
	agent := &fakeAgent{reasons: []string{"the network is being opened", "no broker"}}
	s := serve(t, Config{Listen: "127.0.0.1:0"}, agent)
	check := func(path string, status int, parts ...string) {
		t.Helper()
		got, body := get(t, s, path, nil)
		if got != status {
			t.Errorf("%s = %d, want %d", path, got, status)
		}
		for _, part := range parts {
			if !strings.Contains(body, part) {
				t.Errorf("%s says %q, want %q in it", path, body, part)
			}
		}
	}
	check("/", 200, "1.2.3", "/readyz")
	check("/healthz", 200, "ok")
	check("/readyz", 503, `"ready":false`, "the network is being opened", "no broker")
	check("/version", 200, `{"version":"1.2.3","commit":"abc","go":"go1.26"}`)
	check("/nowhere", 404)
	check("/debug/pprof/", 404)

	agent.mu.Lock()
	agent.reasons = nil
	agent.mu.Unlock()
	check("/readyz", 200, `{"ready":true}`)

	agent.mu.Lock()
	agent.stuck = errors.New("camera line1: stuck")
	agent.mu.Unlock()
	check("/healthz", 503, "camera line1: stuck")
	check("/readyz", 503, "camera line1: stuck")
}

func TestPprofOnlyWhereEnabled(t *testing.T) {
	s := serve(t, Config{Listen: "127.0.0.1:0", Pprof: true}, &fakeAgent{})
	if status, body := get(t, s, "/debug/pprof/goroutine?debug=1", nil); status != 200 ||
		!strings.Contains(body, "goroutine profile") {
		t.Errorf("profile = %d %q", status, body)
	}
}

func TestForeignHostNamesAreRefused(t *testing.T) {
	s := serve(t, Config{Listen: "127.0.0.1:0"}, &fakeAgent{})
	for host, want := range map[string]int{
		"evil.example": 421, "evil.example:9108": 421, "192.0.2.1": 421, "localhost": 200, "localhost:1": 200,
		"127.0.0.1": 200, "[::1]:9": 200,
	} {
		if got, _ := get(t, s, "/healthz", func(r *http.Request) { r.Host = host }); got != want {
			t.Errorf("host %s = %d, want %d", host, got, want)
		}
	}
}

func TestToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("0123456789abcdef\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Config{Listen: "0.0.0.0:0", TokenFile: file}, &fakeAgent{})
	sick := serve(t, Config{Listen: "0.0.0.0:0", TokenFile: file}, &fakeAgent{stuck: errors.New("camera line1: stuck")})
	for _, path := range []string{"/", "/metrics", "/version"} {
		for header, want := range map[string]int{"": 401, "Bearer 0123456789abcde": 401, "0123456789abcdef": 401,
			"Bearer 0123456789abcdef": 200} {
			if got, _ := get(t, s, path, func(r *http.Request) { r.Header.Set("Authorization", header) }); got != want {
				t.Errorf("%s with %q = %d, want %d", path, header, got, want)
			}
		}
	}
	showsToken := func(r *http.Request) { r.Header.Set("Authorization", "Bearer 0123456789abcdef") }
	for path, ok := range map[string]string{"/healthz": "ok", "/readyz": `{"ready":true}`} {
		if status, got := get(t, s, path, nil); status != 200 || strings.TrimSpace(got) != ok {
			t.Errorf("%s without a token = %d %q", path, status, got)
		}
		if status, got := get(t, sick, path, nil); status != 503 || strings.Contains(got, "line1") {
			t.Errorf("%s of a sick agent without a token = %d %q", path, status, got)
		}
		if status, got := get(t, sick, path, showsToken); status != 503 || !strings.Contains(got, "line1: stuck") {
			t.Errorf("%s of a sick agent = %d %q", path, status, got)
		}
	}
	if _, err := Listen(Config{Listen: "127.0.0.1:0", TokenFile: file + "x"}, Build{}, &fakeAgent{}); err == nil ||
		!strings.Contains(err.Error(), "http.token_file: ") {
		t.Errorf("a missing token file = %v", err)
	}
	if err := os.WriteFile(file, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(Config{Listen: "127.0.0.1:0", TokenFile: file}, Build{}, &fakeAgent{}); err == nil ||
		!strings.Contains(err.Error(), "at least 16") {
		t.Errorf("a short token = %v", err)
	}
	pipe := file + "-pipe"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero"} {
		if err := (&Config{Listen: Default, TokenFile: path}).CheckFiles(); err == nil ||
			!strings.Contains(err.Error(), "http.token_file: "+path+" is not a file") {
			t.Errorf("%s = %v, want a refusal", path, err)
		}
	}
}

func TestTakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = Listen(Config{Listen: taken.Addr().String()}, Build{}, &fakeAgent{})
	if err == nil || !strings.Contains(err.Error(), "http.listen: "+taken.Addr().String()+" is taken") {
		t.Errorf("a chosen address that is taken = %v", err)
	}
	var servers []*Server
	for range 2 { // whether or not another program of this machine has the default
		s, err := Listen(Config{Listen: Default}, Build{}, &fakeAgent{})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
	}
	if a, b := servers[0].Address(), servers[1].Address(); a == b || !strings.HasPrefix(b, "127.0.0.1:91") {
		t.Errorf("two agents got %s and %s", a, b)
	}
	for _, s := range servers {
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		c    Config
		want string
	}{
		{Config{}, ""}, {Config{Listen: "off"}, ""}, {Config{Listen: Default}, ""}, {Config{Listen: "[::1]:80"}, ""},
		{Config{Listen: ":9108", TokenFile: "t"}, ""}, {Config{Listen: "9108"}, "http.listen: must be host:port"},
		{Config{Listen: "127.0.0.1:http!"}, "http.listen: "}, {Config{Listen: "127.0.0.1:70000"}, "http.listen: "},
		{Config{Listen: ":9108"}, "http.token_file: must name"}, {Config{Listen: "edge:9108"}, "http.token_file: "},
	} {
		err := test.c.Validate()
		if got := err == nil; got != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("Validate(%+v) = %v, want %q", test.c, err, test.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	agent := &fakeAgent{figures: Figures{
		Cameras: []Camera{{Name: "line1", Online: true, Captured: 12, Classified: 10, Skipped: 2,
			Drift: Drift{Watched: true, Channels: true, Score: 1}}, {Name: "line2"}},
		Connected: true, Waiting: 3, Queue: Queue{8192, 5, true}, Model: Model{"demo", "1", "ab12", "int8", "tensorrt"},
		Update: Update{State: "pulling", Name: "parts", Release: 8, Bytes: 5, Of: 10, Installed: 7, Failures: 2},
		Machine: []Gauge{
			{"vggse_temperature_celsius", "Temperature of a zone.", "zone", "cpu", 51.5},
			{"vggse_temperature_celsius", "Temperature of a zone.", "zone", "gpu", 49},
			{"vggse_gpu_load_ratio", "Load.", "", "", 0.5},
		},
	}}
	s := serve(t, Config{Listen: "127.0.0.1:0"}, agent)
	for i := range 5 {
		s.Observe(&vision.Decision{Camera: "line1", Changed: i == 0,
			Latency: vision.Latency{Infer: 3 * time.Millisecond, Total: time.Second}})
	}
	status, body := get(t, s, "/metrics", nil)
	if status != 200 {
		t.Fatalf("/metrics = %d: %s", status, body)
	}
	for _, line := range []string{
		`vggse_camera_online{camera="line1"} 1`, `vggse_camera_online{camera="line2"} 0`,
		`vggse_frames_captured_total{camera="line1"} 12`, `vggse_frames_classified_total{camera="line1"} 10`,
		`vggse_frames_skipped_total{camera="line1"} 2`, `vggse_broker_connected 1`, `vggse_queue_records 3`,
		`vggse_ready 1`, `vggse_update_state{state="pulling"} 1`, `vggse_update_state{state="idle"} 0`,
		`vggse_update_release{name="parts"} 8`, `vggse_update_installed 7`, `vggse_update_bytes 5`,
		`vggse_update_wanted_bytes 10`, `vggse_update_failures_total 2`,
		`vggse_queue_bytes 8192`, `vggse_queue_dropped_total 5`, `vggse_queue_disk_failing 1`,
		`vggse_model_info{name="demo",precision="int8",provider="tensorrt",sha256="ab12",version="1"} 1`,
		`vggse_temperature_celsius{zone="cpu"} 51.5`, `vggse_temperature_celsius{zone="gpu"} 49`,
		`vggse_gpu_load_ratio 0.5`, `vggse_drift{camera="line1",signal="channels"} 1`,
		`vggse_drift{camera="line1",signal="features"} 0`, `vggse_drift_score{camera="line1"} 1`,
		`vggse_inference_seconds_bucket{camera="line1",le="0.004"} 5`,
		`vggse_inference_seconds_bucket{camera="line1",le="0.002"} 0`,
		`vggse_frame_seconds_sum{camera="line1"} 5`, `vggse_label_changes_total{camera="line1"} 1`,
		`vggse_build_info{commit="abc",goversion="go1.26",version="1.2.3"} 1`, "process_resident_memory_bytes ",
		"go_goroutines ",
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("/metrics: no line %q", line)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

// Many scrapes at once wait for one another, none is refused.
func TestScrapesAtOnce(t *testing.T) {
	s := serve(t, Config{Listen: "127.0.0.1:0"}, &fakeAgent{})
	var wait sync.WaitGroup
	for range 10 * scrapes {
		wait.Go(func() {
			if status, _ := get(t, s, "/metrics", nil); status != 200 {
				t.Errorf("/metrics = %d", status)
			}
		})
	}
	wait.Wait()
}

func TestObserveAllocatesNothing(t *testing.T) {
	m := newMetrics(Build{}, &fakeAgent{})
	d := &vision.Decision{Camera: "line1", Changed: true, Latency: vision.Latency{Infer: time.Millisecond}}
	m.Observe(d)
	if n := testing.AllocsPerRun(100, func() { m.Observe(d) }); n > 0 {
		t.Errorf("%g allocations a decision, want 0", n)
	}
}

func TestReadyIsJSON(t *testing.T) {
	s := serve(t, Config{Listen: "127.0.0.1:0"}, &fakeAgent{reasons: []string{`a "quoted" reason`}})
	_, body := get(t, s, "/readyz", nil)
	var got struct {
		Ready   bool
		Reasons []string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Ready || len(got.Reasons) != 1 ||
		got.Reasons[0] != `a "quoted" reason` {
		t.Errorf("%s = %+v, %v", body, got, err)
	}
}

// A body that does not come is not waited for, with the token or without.
func TestBodyIsRefused(t *testing.T) {
	s := serve(t, Config{Listen: "127.0.0.1:0"}, &fakeAgent{})
	for _, head := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(conn, "POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n\r\n", head)
		answer, err := io.ReadAll(conn) // until the server hangs up
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") {
			t.Errorf("%s: %.60q, %v", head, answer, err)
		}
		conn.Close()
	}
}
