package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/eval"
)

// TestEvaluate: the demo network on pictures of the demo, held against what classify answers to
// each; a damaged picture is left out, and a report has what stdout has.
func TestEvaluate(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	pictures, out := filepath.Join(dir, "pictures"), filepath.Join(dir, "report")
	if code, _, stderr := agentCmd(t, "demo-data", "--out", pictures, "--n", "39", "--size", "96x64", "--seed",
		"5"); code != exitDone {
		t.Fatal(stderr)
	}
	code, stdout, stderr := agentCmd(t, "classify", "--bundle", "../../demo/bundle", "--precision", "fp32", "--json",
		pictures)
	if code != exitDone {
		t.Fatal(stderr)
	}
	images, right := 0, 0
	for line := range strings.Lines(stdout) {
		var a struct {
			File string
			Top  []struct{ Label string }
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		images++
		if filepath.Base(filepath.Dir(a.File)) == a.Top[0].Label {
			right++
		}
	}
	damaged := filepath.Join(pictures, "gear", "damaged.png")
	if err := os.WriteFile(damaged, []byte("\x89PNG\r\n\x1a\nno more"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = agentCmd(t, "evaluate", "../../demo/bundle", "--images", pictures, "--precision", "fp32",
		"--json",
		"--against", "../../demo/bundle", "--out", out)
	var e eval.Evaluation
	if err := json.Unmarshal([]byte(stdout), &e); err != nil || code != exitDone {
		t.Fatalf("exit %d, %v: %s", code, err, stderr)
	}
	if e.Images != images || e.Top1.Hits != right || e.Unreadable != 1 || e.Against == nil ||
		e.Against.Agreement.Hits != images {
		t.Errorf("%d of %d right by classify; %+v, %+v, against %+v", right, images, e, e.Top1, e.Against)
	}
	if len(e.Findings) != 1 || !strings.Contains(e.Findings[0].Evidence, "damaged.png") {
		t.Errorf("%+v", e.Findings)
	}
	for _, name := range []string{"report.json", "report.html"} {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || !strings.Contains(string(text), "parts") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if code, _, stderr := agentCmd(t, "evaluate", "../../demo/bundle", "--images", out); code != exitFailed ||
		!strings.Contains(stderr, "no picture in it") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, _ := agentCmd(t, "evaluate", "../../demo/bundle"); code != exitUsage {
		t.Errorf("without pictures: exit %d", code)
	}
}
