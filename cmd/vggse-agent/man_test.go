package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/configs"
)

// TestManual: every verb that --help shows has a page, twice the same, and the shells complete.
func TestManual(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1767225600")
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
			for _, part := range []string{".SH SYNOPSIS", ".SH EXIT STATUS\n0 done; 1 failed;", ".SH ENVIRONMENT",
				".SH FILES", `"1" "Jan 2026"`} {
				if err != nil || !strings.Contains(string(text), part) {
					t.Errorf("%s: %v, want %q", verb.Name(), err, part)
				}
			}
			if strings.Contains(string(text), "[=false]") {
				t.Errorf("%s: shows flags with [=false]", verb.Name())
			}
			texts[i] += string(text)
			if top, err := os.ReadFile(filepath.Join(out, "man1", "vggse-agent.1")); err != nil ||
				!strings.Contains(string(top), "\n\\fB"+verb.Name()+"\\fP\n"+roff(verb.Short)+"\n") {
				t.Errorf("the first page lacks %s with its sentence: %v", verb.Name(), err)
			}
		}
		settings, err := os.ReadFile(filepath.Join(out, "man5", "vggse-agent.yaml.5"))
		for line := range strings.Lines(string(configs.Default)) {
			if err != nil || !strings.Contains(string(settings), roff(line)) {
				t.Errorf("vggse-agent.yaml(5): %v, want %q", err, line)
			}
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

// TestCompletion: the shells are told the words of flags, the keys of settings and what is installed.
func TestCompletion(t *testing.T) {
	state := "state_dir=" + t.TempDir()
	code, stdout, stderr := agentCmd(t, "model", "install", "../../demo/bundle", "--json", "--set", state)
	if code != exitDone {
		t.Fatal(stderr)
	}
	demo := digest(t, stdout)
	for line, want := range map[string]string{
		"classify --precision |":                    "auto\nfp32\nfp16\nbf16\nint8\n:4\n",
		"build --provider |":                        "openvino\ncuda\ntensorrt\n:4\n",
		"bench --provider |":                        "auto\ncpu\nopenvino\ncuda\ntensorrt\n:4\n",
		"calibrate --method |":                      "auto\nminmax\npercentile\nentropy\nmse\n:4\n",
		"new --attention |":                         "se\nsse\nscse\nbam\ncbam\nnone\n:4\n",
		"run --log-level |":                         "debug\ninfo\nwarn\nerror\n:4\n",
		"run --set |http.l":                         "http.listen=\n:6\n",
		"run --set |cameras.0.s":                    "cameras.0.sandbox=\ncameras.0.source=\n:6\n",
		"--set " + state + " model activate |":      demo + "\tparts 1.0\n:4\n",
		"--set " + state + " model remove |ffff":    ":4\n",
		"--set " + state + " model activate 12ab |": ":4\n",
		"runtime use --set " + state + " |":         ":4\n",
	} {
		words, last, _ := strings.Cut(line, "|")
		_, stdout, _ := agentCmd(t, append(append([]string{"__complete"}, strings.Fields(words)...), last)...)
		if stdout != want {
			t.Errorf("%s: got %q, want %q", line, stdout, want)
		}
	}
}
