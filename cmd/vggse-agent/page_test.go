package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vggse/vggse-agent/api/page/pagetest"
	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/live"
)

// freeAddress is one of loopback that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// demoBundle is the trained network of the demo.
func demoBundle(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../demo/bundle")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLivePage is the live page of a real agent in a real browser: the labels are those of MQTT, in
// their order; a threshold that is set there is published; a viewer does not hold up the end.
func TestLivePage(t *testing.T) {
	tab := pagetest.Open(t, "en")
	broker, address := startMosquitto(t), freeAddress(t)
	agent := startAgent(t, "run", "--bundle", demoBundle(t), "--source", "demo://parts?fps=15&width=320&height=180",
		"--broker", "tcp://"+broker.addr(), "--listen", address, "--set", "device.id=edge", "--log-level", "error",
		"--set", "decide.thresholds=gear 0.7,of another model 0.5")
	lines := broker.subscribe(t, "vggse/edge/camera/classification", "vggse/edge/camera/+/state")
	await(t, lines, "vggse/edge/camera/threshold/state 0.6")
	await(t, lines, `vggse/edge/camera/thresholds/state {"gear":0.7,"of another model":0.5}`)
	tab.Size(1280, 800, "light")
	tab.Visit("http://" + address + "/")
	tab.Wait("a live picture", `document.querySelector('.card .state').textContent === 'live' &&
		document.querySelector('.card canvas').width === 320 && !document.querySelector('.stage.stale')`)
	const across = `document.querySelector('.card canvas').getBoundingClientRect().width / innerWidth`
	if share := pagetest.Eval[float64](tab, across); share < 0.5 {
		t.Errorf("at a desk the picture takes %g of the width, want more than half", share)
	}
	tab.Size(360, 800, "light") // other colours would draw the view anew
	tab.Wait("a picture across a phone", across+" > 0.8")
	tab.Size(1280, 800, "light")
	pagetest.Eval[any](tab, `(window.seen = [], new MutationObserver(() => {
		const label = document.querySelector('.card .label').textContent;
		if (label !== seen[seen.length - 1]) seen.push(label);
	}).observe(document.querySelector('.card .label'), {childList: true, characterData: true, subtree: true}), 1)`)
	tab.Wait("six labels", "seen.length >= 6")
	shown := pagetest.Eval[[]string](tab, "seen")
	var published []string
	rest := shown
	for len(rest) > 0 {
		line := await(t, lines, "vggse/edge/camera/classification ")
		label := strings.TrimPrefix(line, "vggse/edge/camera/classification ")
		published = append(published, label)
		if label == rest[0] {
			rest = rest[1:]
		}
		if len(published) > 20*len(shown) {
			t.Fatalf("the page showed %v, and there is no such order in %v", shown, published)
		}
	}
	tab.Visit("http://" + address + "/#why/camera")
	tab.Wait("the reasons", `document.querySelector('.result').textContent`)
	pagetest.Eval[any](tab, `(() => { const e = document.querySelector('#try'); e.value = 0.75;
		e.dispatchEvent(new Event('input')); return 1 })()`)
	tab.Wait("a button", `!document.querySelector('.why button.primary').disabled`)
	pagetest.Eval[any](tab, `(document.querySelector('.why button.primary').click(), 1)`)
	await(t, lines, "vggse/edge/camera/threshold/state 0.75")
	tab.Visit("http://" + address + "/#cameras")
	tab.Wait("the tools", `document.querySelector('.tools button[aria-pressed]:nth-last-child(2)')`)
	pagetest.Eval[any](tab, `([...document.querySelectorAll('.tools button')]
		.find((b) => b.textContent === 'Thresholds').click(), 1)`)
	tab.Wait("the threshold of its own", `document.querySelectorAll('.limits li').length === 13 &&
		document.querySelector('.limits [aria-label="Threshold: gear"]').value === '0.7'`)
	pagetest.Eval[any](tab, `(() => { const e = document.querySelector('.limits [aria-label="Threshold: nut"]');
		e.value = 0.95; e.dispatchEvent(new Event('change')); return 1 })()`)
	await(t, lines, `vggse/edge/camera/thresholds/state {"gear":0.7,"nut":0.95,"of another model":0.5}`)
	broker.publish(t, "vggse/edge/camera/thresholds/set", `{"no such label":0.5}`)
	await(t, lines, `vggse/edge/camera/thresholds/state {"gear":0.7,"nut":0.95,"of another model":0.5}`)
	broker.publish(t, "vggse/edge/camera/thresholds/set", `{"pin":0.25}`)
	await(t, lines, `vggse/edge/camera/thresholds/state {"pin":0.25}`)
	tab.Wait("what was set over MQTT",
		`document.querySelector('.limits [aria-label="Threshold: pin"]').value === '0.25' &&
		document.querySelector('.limits [aria-label="Threshold: gear"]').value === '0.75'`)
	tab.Visit("http://" + address + "/#device")
	tab.Wait("what is not used", `document.querySelector('main').textContent.includes(
		'has no label of another model: its threshold is not used')`)
	tab.Check("the page")

	tab.Expect("/api/")
	if err := agent.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("the end with a viewer: %v", err)
	}
	tab.Wait("the agent's end", `document.querySelector('.banner').textContent.includes('does not answer')`)
}

// TestReferenceWaits gives an agent a reference that is not what its manifest says: a start does not
// read it and prints the address of the page; who looks at the channels first is told what frames say,
// while the log says why.
func TestReferenceWaits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := os.CopyFS(dir, os.DirFS(demoBundle(t))); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	b.Spec.Files[bundle.FileReference] = bundle.File{Path: bundle.ReferenceName, Bytes: 4,
		SHA256: strings.Repeat("0", 64)}
	err = errors.Join(os.WriteFile(filepath.Join(dir, bundle.ReferenceName), []byte("text"), 0o644),
		bundle.WriteSpec(dir, &b.Spec))
	if err != nil {
		t.Fatal(err)
	}
	address, log := freeAddress(t), &syncBuffer{}
	startAgentTo(t, log, "", "run", "--bundle", dir, "--listen", address, "--set", "state_dir="+t.TempDir(),
		"--source", "demo://parts?fps=15&width=320&height=180")
	for end := time.Now().Add(patience); frames(t, address) < 5; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nothing is classified\n%s", log)
		}
	}
	if want := "\n  open     http://" + address + "/ "; !strings.Contains(log.String(), want) {
		t.Errorf("a start does not print %q:\n%s", want, log)
	}
	const said = "does not know which channels are usual"
	if strings.Contains(log.String(), said) {
		t.Error("it is read while nobody looks")
	}
	answer, err := http.Get("http://" + address + "/api/channels?camera=camera")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var strips live.Strips
	err = json.NewDecoder(answer.Body).Decode(&strips)
	if err != nil || len(strips.Blocks) == 0 || strips.Pictures != 0 {
		t.Errorf("%+v, %v; want blocks, and no pictures that say what is usual", strips, err)
	}
	for end := time.Now().Add(patience); !strings.Contains(log.String(), said) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // its log comes through a pipe
	}
	if got := log.String(); strings.Count(got, said) != 1 || !strings.Contains(got, "SHA-256") {
		t.Errorf("the log says\n%s\nwant once why the reference is not used", got)
	}
}

// TestHeadlessStart opens the page of a device without a screen to its network: both tokens are made for
// their owner alone, how to read them is printed and they are not, and they let in.
func TestHeadlessStart(t *testing.T) {
	_, port, _ := net.SplitHostPort(freeAddress(t))
	state, log := t.TempDir(), &syncBuffer{}
	startAgentTo(t, log, "", "run", "--bundle", demoBundle(t), "--listen", ":"+port, "--set", "state_dir="+state,
		"--source", "demo://parts?fps=15&width=320&height=180")
	home := "http://127.0.0.1:" + port
	for end := time.Now().Add(patience); !strings.Contains(log.String(), "to look and act"); {
		if time.Sleep(50 * time.Millisecond); time.Now().After(end) {
			t.Fatalf("the page is not announced:\n%s", log)
		}
	}
	for _, name := range []string{"view.token", "act.token"} {
		path := filepath.Join(state, name)
		token, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if about, err := os.Stat(path); err != nil || about.Mode() != 0o600 {
			t.Errorf("%s: %v, %v; want it for its owner alone", name, about.Mode(), err)
		}
		code := strings.TrimSpace(string(token))
		if said := log.String(); !strings.Contains(said, "cat "+path) || strings.Contains(said, code) {
			t.Errorf("how to read %s is not said, or it is:\n%s", name, said)
		}
		for authorization, want := range map[string]int{"": 401, "Bearer " + code: 200, "Bearer " + code + "x": 401} {
			r, _ := http.NewRequest("GET", home+"/api/device", nil)
			r.Header.Set("Authorization", authorization)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Body.Close(); answer.StatusCode != want {
				t.Errorf("%q: %s, want %d", authorization, answer.Status, want)
			}
		}
	}
}

// TestPictureSizes looks at a film, whose process encodes its pictures with OpenCV, and at what is
// drawn, whose pictures Go's own encoder makes smaller.
func TestPictureSizes(t *testing.T) {
	address := freeAddress(t)
	startAgent(t, "run", "--bundle", demoBundle(t), "--listen", address, "--log-level", "error", "--set",
		"cameras.0.name=camera", "--set", "cameras.0.source=file://"+cameratest.Film(t, 1280, 720, 90)+"?loop=-1",
		"--set", "cameras.1.name=drawn", "--set", "cameras.1.source=demo://parts?fps=15")
	for end := time.Now().Add(patience); frames(t, address) < 1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is classified")
		}
	}
	for camera, want := range map[string]int{"camera": 640, "drawn": 320} {
		if got := widthOf(t, address, camera); got != want {
			t.Errorf("a picture of %s is %d wide, want %d", camera, got, want)
		}
	}
}

// widthOf is that of the picture that a camera gives to other programs.
func widthOf(t testing.TB, address, camera string) int {
	t.Helper()
	answer, err := http.Get("http://" + address + "/live/" + camera + ".jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	is, err := jpeg.DecodeConfig(answer.Body)
	if err != nil {
		t.Fatal(answer.Status, err)
	}
	return is.Width
}

// BenchmarkPage is a second with each number of viewers of the live page: what the process takes of
// a core, and what it classifies. Of sixteen, one does not read what it is sent. Each loop is a
// second: -benchtime 15x.
func BenchmarkPage(b *testing.B) {
	address := freeAddress(b)
	b.Setenv("XDG_STATE_HOME", b.TempDir())
	agent := startAgentTo(b, io.Discard, "", "run", "--bundle", demoBundle(b), "--source",
		"demo://parts?fps=15&width=1280&height=720", "--listen", address)
	for end := time.Now().Add(patience); frames(b, address) < 30; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("nothing is classified")
		}
	}
	for _, viewers := range []int{0, 1, 16} {
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) {
			stop := viewersOf(b, address, viewers)
			cpu, n, start := cpuOf(b, agent.Process.Pid), frames(b, address), time.Now()
			for b.Loop() {
				time.Sleep(time.Second)
			}
			took := time.Since(start).Seconds()
			b.ReportMetric(100*(cpuOf(b, agent.Process.Pid)-cpu).Seconds()/took, "%cpu")
			b.ReportMetric(float64(frames(b, address)-n)/took, "frames/s")
			b.ReportMetric(float64(memoryOf(b, agent.Process.Pid)>>20), "MB")
			b.ReportMetric(float64(stop())/took, "pictures/s")
		})
	}
}

// viewersOf lets viewers look until stop is called, which returns how many pictures they got.
func viewersOf(t testing.TB, address string, viewers int) (stop func() int) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []*websocket.Conn
	pictures := 0
	for i := range viewers {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+address+"/api/socket", nil)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"camera":0}`)); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			continue // does not read
		}
		all.Go(func() {
			for n := 1; ; {
				kind, b, err := conn.ReadMessage()
				if err != nil {
					return
				}
				if kind != websocket.BinaryMessage {
					continue
				}
				n++
				mu.Lock()
				pictures++
				mu.Unlock()
				number := int(b[31]) | int(b[30])<<8 | int(b[29])<<16
				_ = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"camera":0,"after":%d}`, number))
			}
		})
	}
	return func() int {
		for _, c := range conns {
			c.Close()
		}
		all.Wait()
		return pictures
	}
}

var classified = regexp.MustCompile(`vggse_frames_classified_total\{camera="camera"\} (\d+)`)

// frames are those classified so far; 0 while nobody answers.
func frames(t testing.TB, address string) int {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := classified.FindSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// cpuOf is the processor time of a process, as Linux counts it: in hundredths of a second.
func cpuOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memoryOf is the resident memory of a process, bytes.
func memoryOf(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
