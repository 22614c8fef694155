package page

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/api/page/pagetest"
	"github.com/vggse/vggse-agent/vision"
)

// waitAsked waits until the agent was asked for something.
func (s *site) waitAsked(t *testing.T, what string) {
	t.Helper()
	for end := time.Now().Add(hangs); ; time.Sleep(20 * time.Millisecond) {
		s.agent.mu.Lock()
		asked := slices.Clone(s.agent.asked)
		s.agent.mu.Unlock()
		if slices.Contains(asked, what) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the agent was not asked for %q but for %q", what, asked)
		}
	}
}

// walked is a page on which everything can be done.
func walked(t *testing.T) *site {
	s := serve(t, Rights{View: true, Act: true, By: "somebody"})
	s.keep(t, 5)
	s.agent.device.Models = []Installed{{SHA256: fmt.Sprintf("%064d", 1), Name: "now", Active: true},
		{SHA256: fmt.Sprintf("%064d", 2), Name: "old", Before: true}, {SHA256: fmt.Sprintf("%064d", 3), Name: "new"}}
	s.agent.lesson = Teaching{Stored: true}
	return s
}

// A person with nothing but a keyboard comes to everything, sees where they are, stays there when
// something has come of what they did, and can do all that the page does.
func TestKeyboardWalk(t *testing.T) {
	for _, c := range []struct {
		width        int
		scheme, lang string
	}{{360, "light", "en"}, {1280, "dark", "de"}} {
		t.Run(fmt.Sprint(c.width), func(t *testing.T) {
			s, tab := walked(t), pagetest.Open(t, c.lang)
			tab.Size(c.width, 800, c.scheme)
			s.feed(t)
			tab.Visit(s.URL + "/")
			tab.Wait("a card", `document.querySelector('.card .label').textContent.includes('bolt')`)
			pagetest.Eval[any](tab, `(window.confirm = (text) => (window.asked = text, true), 1)`)
			walkCameras(t, s, tab)
			walkWhy(t, s, tab)
			walkPictures(t, s, tab)
			walkTeach(t, s, tab)
			walkDevice(t, s, tab)
			walkHeader(t, tab, c.lang)
			tab.Check("a walk")
		})
	}
}

// stays fails the test where the keyboard is elsewhere.
func stays(t *testing.T, tab *pagetest.Tab, selector, after string) {
	t.Helper()
	if !tab.At(selector) {
		t.Errorf("after %s the keyboard is at %s", after,
			pagetest.Eval[string](tab, "document.activeElement.outerHTML.slice(0, 150)"))
	}
}

// goTo opens a view with the keyboard.
func goTo(t *testing.T, tab *pagetest.Tab, view, shows string) {
	t.Helper()
	tab.Reach(fmt.Sprintf("nav a[data-view=%s]", view))
	tab.Keys("Enter")
	tab.Wait(view, shows)
	stays(t, tab, fmt.Sprintf("nav a[data-view=%s][aria-current=page]", view), "choosing a view")
	tab.Nameless(view)
	tab.Fits(view)
}

func walkCameras(t *testing.T, s *site, tab *pagetest.Tab) {
	tab.Reach(".skip")
	tab.Keys("Enter")
	stays(t, tab, "main", "skipping the header")
	tab.Reach(".card:first-child .tools button:nth-of-type(2)")
	tab.Keys(" ")
	tab.Wait("numbers of a region", `document.querySelectorAll('.card:first-child .yaml input').length === 4`)
	tab.Reach(".tools button:nth-of-type(3)")
	tab.Keys(" ")
	tab.Wait("thresholds of labels", `document.querySelectorAll('.limits input').length === 2`)
	tab.Nameless("the tools of a camera")
	tab.Fits("the tools of a camera")
	tab.Reach(".limits input")
	tab.Keys("ArrowRight", "ArrowRight", "ArrowRight")
	s.waitAsked(t, "threshold a bolt 0.63")
	stays(t, tab, ".limits input", "a threshold by arrow keys")
	for _, number := range []string{"1", "2", "5", "4"} {
		tab.Reach(".yaml input")
		tab.Keys(number, "0")
	}
	tab.Wait("the region", `document.querySelector('.yaml code').textContent === 'roi: [part 0.1 0.2 0.5 0.4]'`)
	tab.Reach(".yaml button")
	tab.Reach(".tools button:nth-of-type(4)")
	tab.Keys(" ")
	s.waitAsked(t, "enable a false")
	time.Sleep(300 * time.Millisecond) // what comes of it
	stays(t, tab, ".tools button:nth-of-type(4)", "switching off")
}

func walkWhy(t *testing.T, s *site, tab *pagetest.Tab) {
	goTo(t, tab, "why", `/an hour|je Stunde/.test(document.querySelector('.result').textContent)`)
	tab.Reach("select#camera")
	for _, step := range [][2]string{{"ArrowDown", "b"}, {"ArrowUp", "a"}} {
		pagetest.Eval[any](tab, `(document.querySelector('.bar').id = 'before', 1)`)
		tab.Keys(step[0])
		tab.Wait("camera "+step[1], fmt.Sprintf(`!document.querySelector('#before') &&
			document.querySelector('#camera').value === %q`, step[1]))
		stays(t, tab, "select#camera", "choosing a camera")
	}
	tab.Wait("its reasons", `/an hour|je Stunde/.test(document.querySelector('.result').textContent)`)
	tab.Reach(".segments button:last-child")
	tab.Keys(" ")
	tab.Reach("#try")
	tab.Keys("ArrowRight", "ArrowRight")
	tab.Wait("a button", `!document.querySelector('.why .primary').disabled`)
	tab.Reach(".why .primary")
	tab.Keys("Enter")
	s.waitAsked(t, "threshold a 0.62")
	tab.Wait("the keyboard at the slider", `document.activeElement.id === 'try'`)
}

func walkPictures(t *testing.T, s *site, tab *pagetest.Tab) {
	goTo(t, tab, "pictures", `document.querySelectorAll('.tile').length === 5`)
	tab.Reach(".bar a[download]")
	tab.Reach(".tile")
	tab.Keys(" ", "ArrowRight", " ")
	tab.Wait("two chosen", `document.querySelectorAll('.tile[aria-pressed=true]').length === 2`)
	tab.Nameless("chosen pictures")
	tab.Fits("chosen pictures")
	tab.Reach(".dock input")
	tab.Keys("n", "e", "w", "Enter")
	tab.Wait("two marked",
		`/^2 (marked|markiert): new$/.test(document.querySelector('main > [role=status]').textContent)`)
	stays(t, tab, ".tile", "marking")
	tab.Keys("Delete")
	tab.Wait("one deleted", `document.querySelectorAll('.tile').length === 2 && window.asked.includes('1')`)
	stays(t, tab, ".tile", "deleting")
	tab.Keys(" ")
	tab.Reach(".dock button:last-child")
	tab.Keys(" ")
	tab.Wait("none chosen", `document.querySelector('.dock').hidden`)
	stays(t, tab, ".tile", "choosing nothing")
}

func walkTeach(t *testing.T, s *site, tab *pagetest.Tab) {
	goTo(t, tab, "teach", `document.querySelector('.primary:not(:disabled)')`)
	tab.Reach("#flip")
	tab.Keys(" ")
	tab.Reach(".primary")
	tab.Keys("Enter")
	s.waitAsked(t, "teach, flip true")
}

func walkDevice(t *testing.T, s *site, tab *pagetest.Tab) {
	goTo(t, tab, "device", `document.querySelectorAll('.parts button').length === 2`)
	for i, asked := range []string{"roll back", fmt.Sprintf("activate %064d", 3), "examine"} {
		button := []string{"[id$='2']", "[id$='3']", ":not([id])"}[i]
		tab.Reach(".panels button" + button)
		tab.Keys("Enter")
		s.waitAsked(t, asked)
	}
	tab.Wait("findings", `document.querySelector('.cure')`)
	tab.Nameless("findings")
}

func walkHeader(t *testing.T, tab *pagetest.Tab, lang string) {
	goTo(t, tab, "channels", `document.querySelector('main').textContent.includes('no signals here')`)
	tab.Reach("#language")
	key, other := "ArrowDown", "de"
	if lang == other {
		key, other = "ArrowUp", "en"
	}
	tab.Keys(key)
	tab.Wait("the other language", fmt.Sprintf("document.documentElement.lang === %q", other))
	stays(t, tab, "#language", "choosing a language")
	tab.Reach("#theme")
	tab.Keys("Enter")
	tab.Wait("other colours", `document.documentElement.dataset.theme === 'light'`)
	stays(t, tab, "#theme", "choosing colours")
}

// Two hundred cameras and a thousand labels, one of 300 bytes without a gap: every view comes, fits a
// phone and a desk, and what a viewer is told at once stays small.
func TestMany(t *testing.T) {
	cameras, labels := []string{"a"}, []string{strings.Repeat("Kugellagergehäuse", 16)}
	for i := range 199 {
		cameras = append(cameras, fmt.Sprintf("halle-%d", i))
	}
	for i := range 999 {
		labels = append(labels, fmt.Sprintf("teil-%d", i))
	}
	s := serveOf(t, Rights{View: true, Act: true, By: "somebody"}, cameras, labels)
	s.keep(t, 3)
	for _, name := range cameras {
		s.live.Status(name, "online")
		for i := range labels {
			class := vision.Class{Label: labels[i], Index: i, Score: 0.9}
			s.live.Observe(&vision.Decision{Camera: name, Time: time.Now(), Changed: true, Stable: class,
				Top: []vision.Class{class}})
		}
	}
	conn := s.dial(t)
	for told := 0; told < len(cameras); {
		b := next(t, conn, text(`"type":"state"`))
		var now state
		if err := json.Unmarshal(b, &now); err != nil || len(b) > 4096 {
			t.Fatalf("%d bytes at once, %v: %.200s", len(b), err, b)
		}
		told += len(now.Cameras)
	}
	conn.Close()
	tab := pagetest.Open(t, "de")
	s.feed(t)
	for _, width := range []int{360, 1280} {
		tab.Size(width, 800, "light")
		for view, shows := range map[string]string{
			"cameras": `document.querySelectorAll('.card').length === 200 &&
				document.querySelector('.card .label').textContent.startsWith('Kugel') && ` + painted,
			"why/a":    `document.querySelector('.result').textContent`,
			"pictures": `document.querySelectorAll('.tile').length === 3`,
			"teach":    `document.querySelectorAll('.marks li').length === 1000`,
			"device":   `document.querySelector('.panels').textContent.includes('all well')`,
		} {
			tab.Visit(s.URL + "/#" + view)
			tab.Wait(view, shows)
			tab.Fits(fmt.Sprintf("%s at %d", view, width))
		}
		tab.Visit(s.URL + "/#cameras")
		tab.Wait("the tools", `document.querySelector('.card .tools button:nth-of-type(3)')`)
		pagetest.Eval[any](tab, `(document.querySelector('.card .tools button:nth-of-type(3)').click(), 1)`)
		tab.Wait("a threshold for each", `document.querySelectorAll('.limits li').length === 1000`)
		tab.Fits(fmt.Sprintf("thresholds at %d", width))
	}
	tab.Check("many")
}
