// Package pagetest is a real browser for tests of the live page.
//
//	test ▶ headless Chromium ▶ what a person would see
package pagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// hangs ends a test that waits for what does not come, however busy the machine is.
const hangs = 90 * time.Second

// Tab is one page in a browser of its own.
type Tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex // guards what follows
	host     string     // that the page comes from; requests to others are problems
	problems []string
	expected []string
}

// Open starts a browser, which ends with the test. A test without Chromium is skipped.
func Open(t *testing.T, language string) *Tab {
	t.Helper()
	return OpenFor(t, language, 5*time.Minute)
}

// OpenFor is Open of a browser that may run for so long.
func OpenFor(t *testing.T, language string, limit time.Duration) *Tab {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium not found (scripts/deps test)")
	}
	tab := &Tab{t: t}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	options := []chromedp.ExecAllocatorOption{
		chromedp.Headless, chromedp.ExecPath(program), chromedp.Flag("accept-lang", language),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"),
	}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own does not start as root
	}
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	tab.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(tab.hear))
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab.ctx); err != nil {
			t.Logf("the browser's end: %v", err)
		}
		cancel()
	})
	tab.do(chromedp.Do(tab.ctx, chromedp.Navigate("about:blank")))
	return tab
}

func (tab *Tab) do(err error) {
	tab.t.Helper()
	if err != nil {
		tab.t.Fatal("browser: ", err)
	}
}

// hear keeps what a page must not do: errors, reports of the policy, requests to elsewhere.
func (tab *Tab) hear(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		tab.problem(fmt.Sprintf("exception at %s:%d: %s", e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber, text))
	case *runtime.EventConsoleAPICalled:
		for _, a := range e.Args {
			tab.problem("console: " + string(a.Value) + a.Description)
		}
	case *log.EventEntryAdded:
		tab.problem(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "blob" && u.Scheme != "about" && u.Host != tab.host {
			tab.problem("a request to " + e.Request.URL)
		}
	}
}

func (tab *Tab) problem(text string) {
	for _, part := range tab.expected {
		if strings.Contains(text, part) {
			return
		}
	}
	tab.problems = append(tab.problems, text)
}

// Expect makes problems with that text none: of a test that ends the agent.
func (tab *Tab) Expect(part string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.expected = append(tab.expected, part)
}

// Check fails the test for every problem since the last call.
func (tab *Tab) Check(when string) {
	tab.t.Helper()
	tab.mu.Lock()
	defer tab.mu.Unlock()
	for _, p := range tab.problems {
		tab.t.Errorf("%s: %s", when, p)
	}
	tab.problems = nil
}

// Size sets the window, pixels, and the colours that the system wants: light or dark.
func (tab *Tab) Size(width, height int, colours string) {
	tab.t.Helper()
	tab.do(chromedp.Do(tab.ctx, chromedp.EmulateViewport(int64(width), int64(height))))
	_, err := chromedp.Call(tab.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours},
			{Name: "prefers-reduced-motion", Value: "reduce"}}})
	tab.do(err)
}

// Visit opens an address, anew where it is the one that is open.
func (tab *Tab) Visit(address string) {
	tab.t.Helper()
	u, err := url.Parse(address)
	tab.do(err)
	tab.mu.Lock()
	tab.host = u.Host
	tab.mu.Unlock()
	tab.do(chromedp.Do(tab.ctx, chromedp.Navigate("about:blank"), chromedp.Navigate(address)))
}

// Eval is the value of a JavaScript expression in the page.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	v, err := chromedp.Run(tab.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		tab.t.Fatalf("browser: %s: %v", expression, err)
	}
	return v
}

// Wait waits until an expression is true in the page; how long a machine takes for what a bar of progress shows
// is no matter as long as the bar moves.
func (tab *Tab) Wait(what, expression string) {
	tab.t.Helper()
	question := "(() => { try { return !!(" + expression + ") } catch { return false } })()" // what is not there yet
	moved, end := "", time.Now().Add(hangs)
	for !Eval[bool](tab, question) {
		bar := Eval[string](tab, "[...document.querySelectorAll('progress')].map((p) => p.value).join()")
		if bar != moved {
			moved, end = bar, time.Now().Add(hangs)
		}
		if time.Now().After(end) {
			tab.t.Fatalf("%s did not come; the page says:\n%s", what, Eval[string](tab, "document.body.innerText"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// codes are the keys that are no character, and what they write.
var codes = map[string]struct {
	code int64
	text string
}{"Tab": {9, ""}, "Enter": {13, "\r"}, "Escape": {27, ""}, "End": {35, ""}, "Home": {36, ""}, "ArrowLeft": {37, ""},
	"ArrowUp": {38, ""}, "ArrowRight": {39, ""}, "ArrowDown": {40, ""}, "Delete": {46, ""}}

// Keys presses keys, by their names, one after the other: Enter, x, Shift+Tab.
func (tab *Tab) Keys(names ...string) {
	tab.t.Helper()
	for _, name := range names {
		p := input.DispatchKeyEventParams{Key: name}
		if key, shift := strings.CutPrefix(name, "Shift+"); shift {
			p.Key, p.Modifiers = key, 8
		}
		if k, known := codes[p.Key]; known {
			p.WindowsVirtualKeyCode, p.Text = k.code, k.text
		} else {
			p.WindowsVirtualKeyCode, p.Text = int64(strings.ToUpper(p.Key)[0]), p.Key
		}
		for _, kind := range []input.DispatchKeyEventType{"keyDown", "keyUp"} {
			p.Type = kind
			_, err := chromedp.Call(tab.ctx, input.DispatchKeyEvent, p)
			tab.do(err)
		}
	}
}

// stop tells what is wrong with where the keyboard is, for whoever sees.
const stop = `(() => {
	const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
	if (e === document.body) return '';
	const word = e.outerHTML.slice(0, 100), within = (a, b, most) => (Math.max(0, a) + Math.min(most, b)) / 2;
	if (s.outlineStyle === 'none' || parseFloat(s.outlineWidth) < 2) return 'nothing shows the keyboard at ' + word;
	const at = document.elementFromPoint(within(r.left, r.right, innerWidth), within(r.top, r.bottom, innerHeight));
	return at && (e.contains(at) || at.contains(e)) ? '' : 'the keyboard is out of sight, at ' + word + ' below ' +
		(at ? at.outerHTML.slice(0, 60) : 'the edge');
})()`

// Reach presses Tab until the keyboard is at what the selector finds. Wherever it stops it is seen.
func (tab *Tab) Reach(selector string) {
	tab.t.Helper()
	for range 250 {
		tab.Keys("Tab")
		if Eval[string](tab, stop) != "" { // what has come since may have moved it: it is there to be seen still
			Eval[any](tab, "(document.activeElement.scrollIntoView({block: 'nearest'}), 1)")
			if bad := Eval[string](tab, stop); bad != "" {
				tab.t.Error(bad)
			}
		}
		if tab.At(selector) {
			return
		}
	}
	tab.t.Fatalf("Tab never comes to %s; the page says:\n%s", selector, Eval[string](tab, "document.body.innerText"))
}

// At tells whether the keyboard is at what the selector finds.
func (tab *Tab) At(selector string) bool {
	tab.t.Helper()
	return Eval[bool](tab, fmt.Sprintf("document.activeElement.matches(%q)", selector))
}

// Nameless fails the test for everything that a screen reader meets and has no name for.
func (tab *Tab) Nameless(when string) {
	tab.t.Helper()
	all, err := chromedp.Call(tab.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	tab.do(err)
	found := 0
	for _, n := range all.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		role, name := text(n.Role), text(n.Name)
		if !named[role] {
			continue
		}
		if found++; strings.TrimSpace(name) == "" {
			tab.t.Errorf("%s: a screen reader has no name for a %s (node %d)", when, role, n.BackendDOMNodeID)
		}
	}
	if found < 10 {
		tab.t.Errorf("%s: a screen reader meets %d things: there are more", when, found)
	}
}

// named are the roles of what needs a name.
var named = map[string]bool{"button": true, "link": true, "combobox": true, "slider": true,
	"spinbutton": true, "textbox": true, "checkbox": true, "image": true, "img": true, "navigation": true,
	"article": true, "group": true, "heading": true, "progressbar": true}

func text(v *accessibility.Value) string {
	var s string
	if v != nil {
		_ = json.Unmarshal(v.Value, &s) // a name is a text
	}
	return s
}

// Fits fails the test where the page is wider than its window, or something in it is.
func (tab *Tab) Fits(when string) {
	tab.t.Helper()
	if wide := Eval[string](tab, `document.documentElement.scrollWidth <= innerWidth ? '' :
		[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
		.map((e) => e.tagName + '.' + e.className).slice(0, 5).join(' ') || 'the page'`); wide != "" {
		tab.t.Errorf("%s: wider than the window: %s", when, wide)
	}
}

// Heap is what the page's own objects take after what is garbage is gone, bytes.
func (tab *Tab) Heap() float64 {
	tab.t.Helper()
	_, err := chromedp.Call(tab.ctx, heapprofiler.CollectGarbage, cdp.Empty{})
	tab.do(err)
	used, err := chromedp.Call(tab.ctx, runtime.GetHeapUsage, cdp.Empty{})
	tab.do(err)
	return used.UsedSize
}

// Screenshot is a WebP of the window.
func (tab *Tab) Screenshot() []byte {
	tab.t.Helper()
	quality := int64(82)
	r, err := chromedp.Call(tab.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: "webp",
		Quality: &quality})
	tab.do(err)
	return r.Data
}
