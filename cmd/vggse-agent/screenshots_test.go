//go:build screenshots

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/api/page/pagetest"
)

var screenshots = flag.String("screenshots", "../../docs/images", "the `folder` of the pictures of the live page")

var (
	looks    = flag.String("looks", "", "a `folder` for pictures of every view, on a phone and a desk, light and dark")
	language = flag.String("lang", "en", "the language of those, en or de")
)

// startForPictures runs an agent whose belt has parts that its network does not know, and returns the
// address of its page and its folder of samples.
func startForPictures(t *testing.T, more ...string) (address, dir string) {
	state := t.TempDir()
	address, dir = freeAddress(t), filepath.Join(state, "samples")
	startAgentTo(t, io.Discard, "../..", append([]string{"run", "--listen", address, "--set", "device.id=line1",
		"--source", "demo://parts?fps=15&seed=4&strangers=3", "--set", "state_dir=" + state,
		"--set", "device.name=Line 1", "--set", "device.site=Hall 2", "--set", "samples.dir=" + dir,
		"--set", "samples.below=0", "--set", "samples.changed=false", "--set", "model.trial.shadow=0"}, more...)...)
	for end := time.Now().Add(patience); frames(t, address) < 30; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is classified")
		}
	}
	return address, dir
}

func save(t *testing.T, tab *pagetest.Tab, path string) {
	t.Helper()
	tab.Wait("the pictures that are in sight", `[...document.images].every((i) => i.complete ||
		i.getBoundingClientRect().top > innerHeight)`)
	if err := os.WriteFile(path, tab.Screenshot(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTeachScreenshots makes the pictures of each step from an empty state to a new label that runs.
func TestTeachScreenshots(t *testing.T) {
	address, dir := startForPictures(t)
	tab := pagetest.Open(t, "en")
	tab.Size(1280, 820, "light")
	teachOnPage(t, tab, "http://"+address, dir, 12, func(step string) {
		save(t, tab, filepath.Join(*screenshots, "live-teach-"+step+".webp"))
	})
	tab.Check("the steps")
}

// TestLooks makes pictures of every view at three widths, for a person to look at. With -bundle that
// of another network.
func TestLooks(t *testing.T) {
	if *looks == "" {
		t.Skip("no -looks")
	}
	var more []string
	if *lookAt != "" {
		more = []string{"--bundle", *lookAt}
	}
	address, dir := startForPictures(t, more...)
	keepDemo(t, dir, 4)
	tab := pagetest.Open(t, *language)
	for view := range strings.SplitSeq(*views, ",") {
		for _, width := range []int{360, 1280, 2560} {
			for _, colours := range []string{"light", "dark"} {
				tab.Size(width, 1000, colours)
				tab.Visit("http://" + address + "/#" + view)
				tab.Wait(view, "document.querySelector('main').childElementCount > 1")
				pagetest.Eval[any](tab, `([...document.querySelectorAll('.tools button')].slice(1, -1)
					.forEach((b) => b.click()), [...document.querySelectorAll('.panels button')].slice(-1)
					.forEach((b) => b.click()), 1)`)
				time.Sleep(4 * time.Second)
				pagetest.Eval[any](tab, `([...document.querySelectorAll('.tile')].slice(0, 3)
					.forEach((b) => b.click()), 1)`)
				tab.Fits(view)
				name := fmt.Sprintf("%.3s-%d-%s-%s.webp", view, width, colours, *language)
				save(t, tab, filepath.Join(*looks, name))
			}
		}
	}
	tab.Check("the looks")
}

var views = flag.String("views", "cameras,why/camera,channels,pictures,teach,device", "the views of TestLooks")

var lookAt = flag.String("bundle", "", "the `folder` of the bundle that TestLooks shows")

// TestScreenshots makes the pictures of the documentation: 'make screenshots'.
func TestScreenshots(t *testing.T) {
	state, address := t.TempDir(), freeAddress(t)
	startAgentTo(t, io.Discard, "", "run", "--bundle", demoBundle(t), "--listen", address,
		"--source", "demo://parts?fps=15&seed=4", "--set", "state_dir="+state, "--set", "device.id=line1",
		"--set", "device.name=Line 1", "--set", "device.site=Hall 2", "--set",
		"samples.dir="+filepath.Join(state, "samples"))
	for end := time.Now().Add(patience); frames(t, address) < 100; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is classified")
		}
	}
	time.Sleep(100 * time.Second) // for a history worth drawing
	tab := pagetest.Open(t, "en")
	const sure = `['gear', 'bearing', 'washer', 'bracket'].includes(
			document.querySelector('.card .label').textContent) &&
		parseFloat(document.querySelector('.card .score').textContent) > 80 &&
		!document.querySelector('.stage.stale') && document.querySelector('.counts b')`
	for _, s := range []struct {
		name, view, colours string
		width, height       int
		ready               string
	}{
		{"live-cameras", "cameras", "dark", 1280, 640, sure},
		{"live-phone", "cameras", "light", 390, 780, sure},
		{"live-why", "why/camera", "light", 1280, 1010, `document.querySelector('.result').textContent`},
		{"live-pictures", "pictures", "dark", 1280, 740, `[...document.querySelectorAll('.tile img')].slice(0, 12)
			.every((i) => i.complete && i.naturalWidth) && document.querySelectorAll('.tile').length > 12`},
		{"live-device", "device", "light", 1280, 820, `document.querySelector('.panels dd')`},
	} {
		tab.Size(s.width, s.height, s.colours)
		tab.Visit("http://" + address + "/#" + s.view)
		tab.Wait(s.name, s.ready)
		if s.view == "pictures" {
			pagetest.Eval[any](tab, `([1, 3].forEach((i) => document.querySelectorAll('.tile')[i].click()), 1)`)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, s.name+".webp"), tab.Screenshot(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tab.Check("the screenshots")
}
