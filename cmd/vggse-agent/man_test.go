package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestManual: every verb that --help shows has a page, twice the same, and the shells complete.
func TestManual(t *testing.T) {
	var texts [2]string
	for i := range texts {
		out := filepath.Join(t.TempDir(), "manual")
		if code, _, stderr := agentCmd(t, "man", "--out", out); code != exitDone {
			t.Fatal(stderr)
		}
		for _, verb := range newRoot().Commands() {
			if verb.Hidden {
				continue
			}
			text, err := os.ReadFile(filepath.Join(out, "man1", "vggse-agent-"+verb.Name()+".1"))
			if err != nil || !strings.Contains(string(text), ".SH SYNOPSIS") {
				t.Errorf("%s: %v", verb.Name(), err)
			}
			texts[i] += string(text)
		}
		for _, shell := range []string{"vggse-agent.bash", "_vggse-agent", "vggse-agent.fish"} {
			if info, err := os.Stat(filepath.Join(out, "completions", shell)); err != nil || info.Size() < 1000 {
				t.Errorf("%s: %v %v", shell, info, err)
			}
		}
	}
	if texts[0] != texts[1] {
		t.Error("two runs differ")
	}
	if code, _, stderr := agentCmd(t, "man"); code != exitUsage || !strings.Contains(stderr, "--out") {
		t.Errorf("without --out: %d %s", code, stderr)
	}
}
