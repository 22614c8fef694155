//go:build pagefigures

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/api/page/pagetest"
	"github.com/vggse/vggse-agent/camera/cameratest"
)

var (
	figures = flag.String("figures", "", "the `file` for what TestPageFigures has measured, Markdown")
	changes = flag.Int("changes", 100, "label changes that TestPageFigures follows")
	rounds  = flag.Int("rounds", 12, "rounds of 10 s with 0, 1 and 16 viewers in TestPageFigures")
	watched = flag.Duration("watched", 30*time.Minute, "how long TestWatched looks")
)

// TestPageFigures measures what the live page costs, and how far behind it is: 'make bench
// BENCH=page'. What is compared takes turns in one run.
func TestPageFigures(t *testing.T) {
	tab := pagetest.OpenFor(t, "en", time.Hour)
	tab.Size(1280, 800, "light")
	broker, address := startMosquitto(t), freeAddress(t)
	start := func(source, address string) *exec.Cmd {
		return startAgentTo(t, io.Discard, "", "run", "--bundle", demoBundle(t), "--source", source,
			"--listen", address, "--broker", "tcp://"+broker.addr(), "--set", "device.id=edge",
			"--set", "mqtt.publish.every=true", "--set", "state_dir="+t.TempDir())
	}
	agent := start("demo://parts?fps=30&width=1280&height=720", address)
	lines := broker.subscribe(t, "vggse/edge/camera/classification", "vggse/edge/camera/result")
	rows := [][2]string{complete(t, tab, address), age(tab)}
	rows = append(rows, lag(t, tab, lines))
	tab.Visit("about:blank")
	end(t, agent)
	address = freeAddress(t)
	agent = start("file://"+cameratest.Film(t, 1280, 720, 300)+"?loop=-1", address)
	ready(t, address)
	if width := widthOf(t, address, "camera"); width != 640 {
		t.Fatalf("pictures are %d wide, want 640", width)
	}
	rows = append(rows, viewed(t, agent.Process.Pid, address, lines)...)
	load, _ := os.ReadFile("/proc/loadavg")
	text := fmt.Sprintf("# The live page\n\n%s, %d cores of %s, load %s before the end. By `make bench BENCH=page`: "+
		"the demo at 1280×720 and 30 frames a second, Chromium on the same machine; what viewers cost: a film (H.264) "+
		"of the same size and rate, its pictures 640 wide, with the camera's process.\n\n| | |\n|---|---|\n",
		time.Now().UTC().Format("2006-01-02 15:04"), runtime.NumCPU(), processor(), strings.Fields(string(load))[0])
	for _, row := range rows {
		text += fmt.Sprintf("| %s | %s |\n", row[0], row[1])
	}
	t.Log("\n" + text)
	if *figures != "" {
		if err := os.WriteFile(*figures, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// processor is the name of the machine's.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return runtime.GOARCH
}

// ready waits until the agent is.
func ready(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if answer, err := http.Get("http://" + address + "/readyz"); err == nil {
			if answer.Body.Close(); answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatal("the agent does not get ready")
		}
	}
}

// end ends an agent.
func end(t *testing.T, agent *exec.Cmd) {
	t.Helper()
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Fatal(err)
	}
}

const liveCard = `document.querySelector('.card .state').textContent === 'live' &&
	document.querySelector('.card canvas').width === 320 && document.querySelectorAll('.bars li').length === 5 &&
	!document.querySelector('.stage.stale')`

// complete is the time from the agent's readiness to the whole page, and that of further visits.
func complete(t *testing.T, tab *pagetest.Tab, address string) [2]string {
	t.Helper()
	ready(t, address)
	var took []float64
	for range 6 {
		begin := time.Now()
		tab.Visit("http://" + address + "/")
		tab.Wait("the whole page", liveCard)
		took = append(took, time.Since(begin).Seconds())
	}
	return [2]string{"page complete after ready, s; again, median of 5",
		fmt.Sprintf("%.2f; %.2f", took[0], middle(took[1:]))}
}

// age is that of a picture when it is painted: the page's own way, in the page.
func age(tab *pagetest.Tab) [2]string {
	pagetest.Eval[any](tab, `(window.ages = [], (() => {
		const ws = new WebSocket('ws://' + location.host + '/api/socket'); ws.binaryType = 'arraybuffer';
		const canvas = document.createElement('canvas').getContext('2d');
		ws.onopen = () => ws.send('{"camera":0}');
		ws.onmessage = async (e) => {
			if (typeof e.data === 'string') return;
			const v = new DataView(e.data);
			const picture = new Blob([new Uint8Array(e.data, 40)], {type: 'image/jpeg'});
			canvas.drawImage(await createImageBitmap(picture), 0, 0);
			requestAnimationFrame(() => { ages.push(Date.now() - Number(v.getBigUint64(16)));
				if (ages.length >= 60) return ws.close();
				ws.send(JSON.stringify({camera: 0, after: Number(v.getBigUint64(24))}));
			});
		};
	})(), 1)`)
	tab.Wait("60 pictures", "ages.length >= 60")
	all := pagetest.Eval[[]float64](tab, "ages")
	return [2]string{"age of a picture when it is painted, ms: first; median of 60; worst",
		fmt.Sprintf("%.0f; %.0f; %.0f", all[0], middle(all), slices.Max(all))}
}

// lag follows label changes on MQTT and on the page: in the same order.
func lag(t *testing.T, tab *pagetest.Tab, lines <-chan string) [2]string {
	t.Helper()
	drain(lines)
	pagetest.Eval[any](tab, `(window.seen = [], new MutationObserver(() => {
		const label = document.querySelector('.card .label').textContent;
		if (!seen.length || label !== seen[seen.length - 1][0]) seen.push([label, Date.now()]);
	}).observe(document.querySelector('.card .label'), {childList: true, characterData: true, subtree: true}), 1)`)
	type told struct {
		label string
		at    int64
	}
	var published []told
	for len(published) < *changes+1 {
		line := await(t, lines, "vggse/edge/camera/classification ")
		label := strings.TrimPrefix(line, "vggse/edge/camera/classification ")
		published = append(published, told{label, time.Now().UnixMilli()})
	}
	tab.Wait("the last", fmt.Sprintf("seen.length >= %d", *changes-1))
	shown := pagetest.Eval[[][2]any](tab, "seen")
	// The page hears five times a second what holds: of labels that held for less it may miss one.
	next, missed, longest, late := 0, 0, int64(0), []float64{}
	for _, s := range shown {
		found := slices.IndexFunc(published[next:], func(p told) bool { return p.label == s[0] })
		if found < 0 {
			if int64(s[1].(float64)) < published[len(published)-1].at {
				t.Errorf("the page shows %v, and that was not published then", s[0])
			}
			break
		}
		for i := next; i < next+found && next > 0; i++ {
			missed++
			longest = max(longest, published[i+1].at-published[i].at)
		}
		next += found + 1
		late = append(late, s[1].(float64)-float64(published[next-1].at))
	}
	if longest > 1000 {
		t.Errorf("the page has missed a label that held for %d ms", longest)
	}
	return [2]string{fmt.Sprintf("label on the page behind the one on MQTT, ms, %d changes in their order: median; "+
		"worst; labels that held too shortly to be shown, the longest of them, ms", len(late)),
		fmt.Sprintf("%.0f; %.0f; %d, %d", middle(late), slices.Max(late), missed, longest)}
}

// viewed is what viewers cost: rounds with none, one and sixteen, of which one reads nothing, in
// turn.
func viewed(t *testing.T, pid int, address string, lines <-chan string) (rows [][2]string) {
	t.Helper()
	const length = 10 * time.Second
	cpu, fps, late := map[int][]float64{}, map[int][]float64{}, map[int][][]float64{}
	for round := range *rounds {
		order := []int{0, 1, 16}
		if round%2 == 1 { // what the machine does by and by falls on each
			slices.Reverse(order)
		}
		for _, viewers := range order {
			stop := viewersOf(t, address, viewers)
			time.Sleep(time.Second)
			drain(lines)
			before, n, start := cpuOfAll(t, pid), frames(t, address), time.Now()
			time.Sleep(length)
			took := time.Since(start).Seconds()
			cpu[viewers] = append(cpu[viewers], 100*(cpuOfAll(t, pid)-before).Seconds()/took)
			fps[viewers] = append(fps[viewers], float64(frames(t, address)-n)/took)
			late[viewers] = append(late[viewers], latenciesOf(drain(lines)))
			stop()
		}
	}
	for _, viewers := range []int{0, 1, 16} {
		name := map[int]string{0: "nobody", 1: "one viewer", 16: "16 viewers, one of them stopped"}[viewers]
		over, rate := []float64{}, []float64{}
		for i := range cpu[viewers] { // against the round beside it
			over = append(over, cpu[viewers][i]-cpu[0][i])
			rate = append(rate, fps[viewers][i]/fps[0][i])
		}
		share, low, high := shareOf(late[viewers], late[0])
		rows = append(rows, [2]string{name + ": CPU, % of a core, and beyond nobody; frames a second as a share of " +
			"nobody's; medians of rounds; p99 of the latency of all rounds as a share of nobody's, 95 % interval",
			fmt.Sprintf("%.1f, %+.1f; %.3f; %.3f (%.3f–%.3f)", middle(cpu[viewers]), middle(over),
				middle(rate), share, low, high)})
	}
	return rows
}

// cpuOfAll is the processor time of a process and of its children that live.
func cpuOfAll(t *testing.T, pid int) time.Duration {
	t.Helper()
	all := cpuOf(t, pid)
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("the children of %d: %v", pid, err)
	}
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // it may have ended
		for child := range strings.FieldsSeq(string(text)) {
			id, _ := strconv.Atoi(child)
			all += cpuOf(t, id)
		}
	}
	return all
}

// drain are the lines that have come.
func drain(lines <-chan string) (all []string) {
	for {
		select {
		case line := <-lines:
			all = append(all, line)
		default:
			return all
		}
	}
}

// shareOf is the 99th percentile of some rounds as a share of that of others beside them, with the
// interval that holds 95 of 100 draws of as many rounds with replacement: a round is what the machine
// did meanwhile as well.
func shareOf(some, others [][]float64) (share, low, high float64) {
	all := make([]int, len(some))
	for i := range all {
		all[i] = i
	}
	of := func(rounds []int) float64 {
		var a, b []float64
		for _, i := range rounds {
			a, b = append(a, some[i]...), append(b, others[i]...)
		}
		return p99(a) / p99(b)
	}
	share = of(all)
	random, draws := rand.New(rand.NewPCG(1, 2)), make([]float64, 2000)
	for d := range draws {
		for i := range all {
			all[i] = random.IntN(len(some))
		}
		draws[d] = of(all)
	}
	slices.Sort(draws)
	return share, draws[len(draws)*25/1000], draws[len(draws)*975/1000]
}

// p99 is the 99th percentile; 0 of none.
func p99(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// latenciesOf are the total latencies of results, ms.
func latenciesOf(lines []string) (all []float64) {
	for _, line := range lines {
		_, text, _ := strings.Cut(line, "/result ")
		var r struct {
			Latency struct {
				Total float64 `json:"total"`
			} `json:"latency_us"`
		}
		if json.Unmarshal([]byte(text), &r) == nil && r.Latency.Total > 0 {
			all = append(all, r.Latency.Total/1000)
		}
	}
	return all
}

func middle(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// TestWatched looks at the page for as long as -watched says, view after view: neither the tab nor
// the agent grows, and nothing is left when it is closed. 'make soak' has it.
func TestWatched(t *testing.T) {
	tab := pagetest.OpenFor(t, "en", *watched+10*time.Minute)
	address := freeAddress(t)
	agent := startAgentTo(t, io.Discard, "", "run", "--bundle", demoBundle(t), "--source",
		"demo://parts?fps=15&width=640&height=360", "--listen", address, "--set", "state_dir="+t.TempDir())
	for end := time.Now().Add(patience); frames(t, address) < 300; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is classified")
		}
	}
	goroutines, memory := goroutinesOf(t, address), memoryOf(t, agent.Process.Pid)
	tab.Size(1280, 800, "dark")
	tab.Visit("http://" + address + "/#cameras")
	tab.Wait("a live page", liveCard)
	views := []string{"why/camera", "channels", "device", "teach", "pictures", "cameras"}
	for _, view := range views { // all of them were there once
		look(tab, view)
	}
	heap := tab.Heap()
	for begin, i := time.Now(), 0; time.Since(begin) < *watched; i++ {
		look(tab, views[i%len(views)])
		time.Sleep(10 * time.Second)
	}
	look(tab, "cameras")
	tab.Wait("a live page still", liveCard)
	moreHeap := (tab.Heap() - heap) / (1 << 20)
	moreMemory := float64(memoryOf(t, agent.Process.Pid)-memory) / (1 << 20)
	tab.Check("watching")
	tab.Visit("http://" + address + "/static/icon.svg") // closes the page
	left := goroutines + 1
	for end := time.Now().Add(2 * time.Minute); left > goroutines && time.Now().Before(end); time.Sleep(time.Second) {
		left = goroutinesOf(t, address)
	}
	t.Logf("watched for %s: heap of the tab %+.1f MiB, memory of the agent %+.1f MiB, goroutines %d before, %d after",
		*watched, moreHeap, moreMemory, goroutines, left)
	if moreHeap > 10 || moreMemory > 8 || left > goroutines {
		t.Error("more than 10 MiB, 8 MiB, or goroutines stay")
	}
}

func look(tab *pagetest.Tab, view string) {
	pagetest.Eval[any](tab, fmt.Sprintf("(location.hash = '#%s', 1)", view))
	tab.Wait(view, fmt.Sprintf("document.querySelector('main').dataset.view === %q",
		strings.TrimSuffix(view, "/camera")))
}

var goGoroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)

// goroutinesOf are those of the agent, without the one that answers.
func goroutinesOf(t *testing.T, address string) int {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := goGoroutines.FindSubmatch(text)
	if m == nil {
		t.Fatal("no go_goroutines in the metrics")
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}
