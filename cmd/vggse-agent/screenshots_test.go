//go:build screenshots

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/api/page/pagetest"
)

var screenshots = flag.String("screenshots", "../../docs/images", "the `folder` of the pictures of the live page")

var looks = flag.String("looks", "", "a `folder` for pictures of every step of teaching, on a phone and a desk")

// TestTeachScreenshots makes the pictures of each step from an empty state to a new label that runs.
// With -looks they are made on a phone and a desk, light and dark, in the language -lang.
func TestTeachScreenshots(t *testing.T) {
	state, address := t.TempDir(), freeAddress(t)
	dir := filepath.Join(state, "samples")
	startAgentTo(t, io.Discard, "../..", "run", "--listen", address, "--set", "device.id=line1",
		"--source", "demo://parts?fps=15&seed=4&strangers=3", "--set", "state_dir="+state,
		"--set", "device.name=Line 1", "--set", "device.site=Hall 2",
		"--set", "samples.dir="+dir, "--set", "samples.below=0", "--set",
		"samples.changed=false")
	for end := time.Now().Add(patience); frames(t, address) < 30; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is classified")
		}
	}
	tab := pagetest.Open(t, *language)
	save := func(path string) {
		if err := os.WriteFile(path, tab.Screenshot(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tab.Size(1280, 820, "light")
	teachOnPage(t, tab, "http://"+address, dir, 12, func(step string) {
		if *looks == "" {
			save(filepath.Join(*screenshots, "live-teach-"+step+".webp"))
			return
		}
		for _, width := range []int{360, 1280} {
			tab.Size(width, 1000, "light")
			time.Sleep(300 * time.Millisecond)
			save(filepath.Join(*looks, fmt.Sprintf("teach-%s-%d-%s.webp", step, width, *language)))
		}
	})
	tab.Check("the steps")
}

var language = flag.String("lang", "en", "the language of TestTeachScreenshots, en or de")

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
