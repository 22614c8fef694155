package page

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/api/page/pagetest"
)

// feed lets camera a see frames until stop is called.
func (s *site) feed(t *testing.T) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for n := uint64(1); ; n++ {
			select {
			case <-done:
				return
			case <-time.After(30 * time.Millisecond):
				s.decide(n, int(n/40)%2, 0.8, n%40 == 0)
			}
		}
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			close(done)
			<-over
		}
	}
	t.Cleanup(stop)
	return stop
}

// painted tells that the first camera's picture has come; its canvas has that width before, too.
const painted = `document.querySelector('.card canvas').width === 16 && document.querySelector('.card .note').hidden`

// Each view in both languages, at the widths of a phone and a desk, light and dark: nothing breaks,
// nothing is cut off, nobody else is asked, and what strangers have named stays text.
func TestViews(t *testing.T) {
	s := serve(t, Rights{View: true, Act: true, By: "somebody"})
	s.keep(t, 3)
	tab := pagetest.Open(t, "de")
	s.feed(t)
	for _, width := range []int{360, 1280} {
		for _, colours := range []string{"light", "dark"} {
			tab.Size(width, 800, colours)
			tab.Visit(s.URL + "/")
			for view, what := range map[string]string{
				"cameras": `document.querySelector('.card .label').textContent.includes('onerror') && ` + painted + ` &&
					document.querySelector('.card canvas').getBoundingClientRect().width > 250 &&
					document.querySelectorAll('.bars li').length === 2`,
				"why/a": `document.querySelector('.chart canvas') && document.querySelector('.result').textContent`,
				"pictures": `document.querySelectorAll('.tile img').length === 3 &&
					document.querySelector('.tile img').naturalWidth === 64`,
				"channels": `document.querySelector('main').textContent.includes('no signals here')`,
				"teach":    `document.querySelectorAll('.marks li').length === 2 && document.querySelector('#lacks')`,
				"device":   `document.querySelector('.panels').textContent.includes('all well')`,
			} {
				when := fmt.Sprintf("%s at %d, %s", view, width, colours)
				pagetest.Eval[any](tab, fmt.Sprintf("(location.hash = '#%s', 1)", view))
				tab.Wait(when, fmt.Sprintf("document.querySelector('main').dataset.view === %q && %s",
					strings.TrimSuffix(view, "/a"), what))
				tab.Fits(when)
				if got := pagetest.Eval[string](tab, `document.documentElement.lang`); got != "de" {
					t.Errorf("%s: language %s, want de", when, got)
				}
				if title := pagetest.Eval[string](tab, "document.title"); title == "broken" {
					t.Errorf("%s: a label has become markup", when)
				}
				if bad := pagetest.Eval[string](tab, nameless); bad != "" {
					t.Errorf("%s: without a name: %s", when, bad)
				}
			}
		}
	}
	tab.Check("the views")
}

// nameless lists what a screen reader could not name.
const nameless = `[...document.querySelectorAll('button, a, input, select, img, canvas[role=img], nav')].filter((e) =>
	!(e.getAttribute('aria-label') || e.textContent.trim() || e.alt !== undefined && e.tagName === 'IMG' ||
	e.labels && e.labels.length)).map((e) => e.outerHTML.slice(0, 80)).join(' ')`

// A picture that is not live never looks as if it were; the page says why, and comes back by itself.
func TestStates(t *testing.T) {
	s := serve(t, Rights{View: true, Act: true, By: "somebody"})
	tab := pagetest.Open(t, "en")
	tab.Size(1280, 800, "light")
	stop := s.feed(t)
	s.live.Status("a", "online")
	tab.Visit(s.URL + "/#cameras")
	state := func(word string) string {
		return fmt.Sprintf(`document.querySelector('.card .state').textContent === %q`, word)
	}
	const stale = `document.querySelector('.card .stage.stale .age:not([hidden])')`
	tab.Wait("a live picture", state("live")+" && "+painted+" && !"+stale)
	stop()
	s.live.Status("a", "stalled")
	s.live.Reason("a", errors.New("no frame for 5 s"), false)
	tab.Wait("stalled", state("stalled")+" && "+stale+
		` && document.querySelector('.card .note').textContent.includes('no frame for 5 s')`)
	s.live.Reason("a", errors.New("dark"), true)
	tab.Wait("dark", state("dark")+" && "+stale)
	s.live.Status("a", "disabled")
	s.live.Reason("a", nil, false)
	tab.Wait("disabled", state("switched off")+" && "+stale)
	s.live.Status("a", "online")
	s.live.Reason("a", nil, false)
	s.feed(t)
	tab.Wait("live again", state("live")+" && !"+stale)
	tab.Check("the states")

	tab.Expect("/api/socket")
	tab.Expect("ERR_")
	address := s.Listener.Addr().String()
	s.cut()
	tab.Wait("the agent's end", state("agent gone")+" && "+stale+
		` && document.querySelector('.banner').textContent.includes('does not answer')`)
	s.start(t, address)
	tab.Wait("the agent's return", state("live")+" && !"+stale+
		` && !document.querySelector('.banner').textContent.includes('does not answer')`)
	tab.Check("after the agent's return")

	tab.Visit(s.URL + "/static/icon.svg")
	for end := time.Now().Add(hangs); s.page.Viewers() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d viewers stay after the page was left", s.page.Viewers())
		}
	}
}

// While the tab is hidden nothing is encoded; when somebody looks again, the picture is live again.
func TestHiddenTab(t *testing.T) {
	s := serve(t, Rights{View: true})
	tab := pagetest.Open(t, "en")
	s.feed(t)
	s.live.Status("a", "online")
	tab.Visit(s.URL + "/#cameras")
	const live = painted + ` && !document.querySelector('.card .stage.stale')`
	tab.Wait("a live picture", live)
	hide := func(hidden bool) {
		pagetest.Eval[any](tab, fmt.Sprintf(`(
			Object.defineProperty(document, 'hidden', {value: %t, configurable: true}),
			document.dispatchEvent(new Event('visibilitychange')), 1)`, hidden))
	}
	hide(true)
	for end := time.Now().Add(hangs); ; {
		before := s.page.Encoded()
		time.Sleep(2 * time.Second)
		if s.page.Encoded() == before {
			break
		}
		if time.Now().After(end) {
			t.Fatal("pictures are encoded for a hidden tab")
		}
	}
	hide(false)
	before := s.page.Encoded()
	for end := time.Now().Add(hangs); s.page.Encoded() == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is encoded for who looks again")
		}
	}
	tab.Wait("a live picture again", live)
	tab.Check("a hidden tab")
}

// Times are those of the device, whatever the clock and the zone of who looks: another clock is told
// and makes no picture old, and summer time comes without a visit.
func TestOtherClock(t *testing.T) {
	s := serve(t, Rights{View: true})
	var summer atomic.Bool
	s.page.zone = func() (string, int) {
		if summer.Load() {
			return "XST", 14 * 3600
		}
		return "XT", 13 * 3600
	}
	tab := pagetest.Open(t, "de")
	tab.Size(1280, 800, "light")
	s.feed(t)
	s.live.Status("a", "online")
	tab.Visit(s.URL + "/#cameras")
	const live = painted + ` && !document.querySelector('.card .stage.stale')`
	tab.Wait("a live picture", live)
	hour := func(offset int) string {
		return fmt.Sprintf(`document.querySelector('time').textContent.startsWith(
			String((new Date(before()).getUTCHours() + %d) %% 24).padStart(2, '0') + ':')`, offset)
	}
	pagetest.Eval[any](tab, `(window.before = Date.now.bind(Date), Date.now = () => before() - 90 * 60000, 1)`)
	tab.Wait("a word of the other clock",
		`document.querySelector('.banner').textContent.includes('1 h 30 min') && `+live)
	tab.Wait("the time of the device", hour(13))
	summer.Store(true)
	tab.Wait("summer time", hour(14)+` && document.querySelector('time').title.includes('XST') && `+live)
	tab.Check("another clock")
}

// TestShortLabels: labels that hold for a moment only are shown, too, one after the other.
func TestShortLabels(t *testing.T) {
	s := serve(t, Rights{View: true})
	s.labels[1] = "nut"
	tab := pagetest.Open(t, "en")
	s.decide(1, 0, 0.9, true)
	tab.Visit(s.URL + "/#cameras")
	tab.Wait("a card", `document.querySelector('.card .label').textContent === 'bolt'`)
	pagetest.Eval[any](tab, `(window.seen = 0, new MutationObserver(() => seen++).observe(
		document.querySelector('.card .label'), {childList: true, characterData: true, subtree: true}), 1)`)
	const changes = 60
	for n := uint64(2); n < changes+2; n++ {
		s.decide(n, int(n+1)%2, 0.9, true)
		time.Sleep(35 * time.Millisecond)
	}
	tab.Wait("every label", fmt.Sprintf("seen === %d", changes))
	tab.Check("short labels")
}

// What another threshold would have done is read from the page, and applied with one button.
func TestThreshold(t *testing.T) {
	s := serve(t, Rights{View: true, Act: true, By: "somebody"})
	tab := pagetest.Open(t, "en")
	tab.Size(1280, 900, "dark")
	s.feed(t)
	tab.Visit(s.URL + "/#why/a")
	tab.Wait("what the threshold did",
		`document.querySelector('.result').textContent.includes('label changes an hour')`)
	pagetest.Eval[any](tab, `(() => { const e = document.querySelector('#try'); e.value = 0.9;
		e.dispatchEvent(new Event('input')); return 1 })()`)
	tab.Wait("what another would have done", `document.querySelector('.result').textContent ===
		'0 label changes an hour, without a label 100% of the time'`)
	pagetest.Eval[any](tab, `(document.querySelector('button.primary').click(), 1)`)
	tab.Wait("its being in force", `document.querySelector('.why [role=status]').textContent.includes('0.90')`)
	s.agent.mu.Lock()
	defer s.agent.mu.Unlock()
	if got := fmt.Sprint(s.agent.asked); got != "[threshold a 0.9 somebody: threshold 0.9 (a)]" {
		t.Errorf("asked: %s", got)
	}
	tab.Check("a threshold")
}

// Several pictures are chosen and marked with keys alone.
func TestMarkByKeyboard(t *testing.T) {
	s := serve(t, Rights{View: true, Act: true, By: "somebody"})
	names := s.keep(t, 3)
	tab := pagetest.Open(t, "en")
	tab.Size(1280, 900, "light")
	tab.Visit(s.URL + "/#pictures")
	tab.Wait("the pictures", `document.querySelectorAll('.tile').length === 3`)
	pagetest.Eval[any](tab, `(document.querySelector('.tile').focus(), 1)`)
	tab.Keys(" ", "ArrowRight", " ", "1")
	tab.Wait("two to be marked", `document.querySelectorAll('.tile').length === 1 &&
		document.querySelector('main > [role=status]').textContent === '2 marked: bolt'`)
	kept, err := s.agent.review.List()
	if err != nil || len(kept) != 3 || kept[2].Right != "bolt" || kept[1].Right != "bolt" || kept[0].Marked {
		t.Errorf("kept: %+v of %v, %v", kept, names, err)
	}
	tab.Check("marking")
}
