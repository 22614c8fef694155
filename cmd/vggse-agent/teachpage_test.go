package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/api/page/pagetest"
	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/samples"
	"github.com/vggse/vggse-agent/vision"
)

// keepDemo puts n pictures of each label of the demo, and of the part that it does not know, into a
// folder of samples, with what a network may have said of each: what hours before a belt would keep.
func keepDemo(t *testing.T, dir string, n int) {
	t.Helper()
	folder, err := samples.Open(samples.Config{Dir: dir, Bytes: 1 << 30, Count: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	labels := demo.Classes()
	at := time.Now().Add(-24 * time.Hour)
	kept := make([]int, len(labels)+1)
	for seed := uint64(100); slices.Min(kept) < n; seed++ {
		scene := demo.NewScene(seed, 320, 180)
		scene.Strangers = 4
		var f vision.Frame
		for frame := uint64(20); frame < 20+70*12; frame += 70 { // one of each place on the belt
			class := scene.Label(frame)
			if kept[class]++; kept[class] > n {
				continue
			}
			scene.Render(frame, &f)
			top := []vision.Class{{Label: labels[class%len(labels)], Score: 0.75}, {Label: "pin", Score: 0.2}}
			if class == len(labels) {
				top = []vision.Class{{Label: "nut", Score: 0.4}, {Label: "bearing", Score: 0.3}}
			}
			at = at.Add(time.Minute)
			d := &vision.Decision{Camera: "camera", Time: at, Top: top, Stable: top[0]}
			if err := folder.Save(d, &f, "uncertain", strings.Repeat("0", 64)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// teachOnPage teaches the demo a new label, from the empty state on, and takes it back, with the page
// alone; shot is called at each step.
func teachOnPage(t *testing.T, tab *pagetest.Tab, url, dir string, perLabel int, shot func(step string)) {
	t.Helper()
	click := func(what string) {
		t.Helper()
		pagetest.Eval[any](tab, fmt.Sprintf(`(document.querySelector(%q).click(), 1)`, what))
	}
	tab.Visit(url + "/#teach")
	tab.Wait("nothing to be taught yet", `document.querySelector('#lacks') &&
		document.querySelector('.primary').disabled`)
	shot("empty")
	keepDemo(t, dir, perLabel)
	tab.Visit(url + "/#pictures")
	tab.Wait("the kept pictures", `document.querySelectorAll('.tile img').length > 20`)
	mark := func(filter, value, shown, label string) {
		t.Helper()
		pagetest.Eval[any](tab, fmt.Sprintf(`(() => { const s = document.querySelectorAll('.bar select');
			[[2, ''], [4, ''], [%s, %q]].forEach(([i, v]) => {
				s[i].value = v; s[i].dispatchEvent(new Event('change')); });
			return 1 })()`, filter, value))
		tab.Wait("those "+value, fmt.Sprintf(`(() => { const all = [...document.querySelectorAll('.tile b')];
			return all.length === %d && all.every((b) => b.textContent === %q) })()`, perLabel, shown))
		click(".bar button")
		if label == demo.Stranger {
			shot("marking")
		}
		pagetest.Eval[any](tab, fmt.Sprintf(`(() => { const o = document.querySelector('.dock input'); o.value = %q;
			o.form.requestSubmit(); return 1 })()`, label))
		tab.Wait("the marks "+label, fmt.Sprintf(
			`document.querySelector('main > [role=status]').textContent.includes(%q)`, label))
	}
	mark("4", "0.5", "nut", demo.Stranger)
	for _, label := range demo.Classes() {
		mark("2", label, label, label)
	}
	tab.Visit(url + "/#teach")
	tab.Wait("what there is to be taught", `document.querySelectorAll('.marks li.above').length === 14 &&
		!document.querySelector('#lacks') && !document.querySelector('.primary').disabled`)
	shot("ready")
	click(".primary")
	tab.Wait("its being under way", `document.querySelector('progress')`)
	shot("running")
	tab.Visit("about:blank") // it goes on
	tab.Visit(url + "/#teach")
	tab.Wait("the report", `document.querySelector('.result.done')`)
	shot("report")
	click(".result + p .primary")
	tab.Wait("its running", `document.querySelector('#runs')`)
	tab.Visit(url + "/#cameras")
	tab.Wait("the new label", fmt.Sprintf(`document.querySelector('.card .label').textContent === %q &&
		!document.querySelector('.stage.stale')`, demo.Stranger))
	shot("runs")
	tab.Visit(url + "/#teach")
	tab.Wait("the way back", `document.querySelector('#runs + p button')`)
	click("#runs + p button")
	tab.Wait("the model before", `!document.querySelector('#runs') &&
		document.querySelectorAll('.marks li').length === 14`)
}

// A person teaches the demo a new label from the empty state on, with the page alone, and takes it
// back; everything is in the journal and in the events.
func TestTeachOnPage(t *testing.T) {
	tab := pagetest.OpenFor(t, "en", 20*time.Minute) // teaching runs at a low priority
	state, address := t.TempDir(), freeAddress(t)
	dir := filepath.Join(state, "samples")
	broker := startMosquitto(t)
	startAgentTo(t, io.Discard, "../..", "run", "--listen", address, "--broker", "tcp://"+broker.addr(),
		"--source", "demo://parts?fps=60&width=320&height=180&strangers=2", "--set", "state_dir="+state,
		"--set", "samples.dir="+dir, "--set", "samples.below=0", "--set", "samples.changed=false",
		"--set", "model.trial.shadow=0")
	for end := time.Now().Add(patience); frames(t, address) < 1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is classified")
		}
	}
	tab.Size(1280, 900, "light")
	teachOnPage(t, tab, "http://"+address, dir, 6, func(string) {})
	tab.Visit("http://" + address + "/#device")
	for _, said := range []string{"teaching begun", "Teaching: ", "what was taught is installed and activated",
		"rolled back to the model before", `6 samples marked "star-knob"`} {
		tab.Wait("the event "+said, fmt.Sprintf(`document.querySelector('main').textContent.includes(%q)`, said))
	}
	tab.Check("teaching")
}
