package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
)

// digest is that of the last line of 'model … --json' or 'bundle pack --json'.
func digest(t *testing.T, stdout string) string {
	t.Helper()
	var line struct {
		SHA256 string `json:"sha256"`
	}
	if err := json.Unmarshal([]byte(stdout), &line); err != nil || len(line.SHA256) != 64 {
		t.Fatalf("%q: %v, want a line with sha256", stdout, err)
	}
	return line.SHA256
}

// TestModelLife carries a packed bundle to a device, activates it with a real verify and runs it; a
// model that cannot be opened is refused at the next start, and the one before goes on.
func TestModelLife(t *testing.T) {
	state, file := t.TempDir(), filepath.Join(t.TempDir(), "parts.vggse")
	agent := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := agentCmd(t, append(args, "--set", "state_dir="+state)...)
		if code != want {
			t.Fatalf("%v: exit %d: %s", args, code, stderr)
		}
		return stdout, stderr
	}
	if stdout, stderr := agent(exitDone, "model", "list"); stdout != "" || !strings.Contains(stderr, noModel) {
		t.Errorf("an empty list says %q, %q", stdout, stderr)
	}
	bundleDir := seededBundle(t)
	stdout, _ := agent(exitDone, "bundle", "pack", bundleDir, "--out", file, "--json")
	good := digest(t, stdout)
	if stdout, _ = agent(exitDone, "model", "install", file, "--json"); digest(t, stdout) != good {
		t.Errorf("installed as %s, packed as %s", digest(t, stdout), good)
	}
	_, stderr := agent(exitDone, "model", "activate", good[:8])
	if !strings.Contains(stderr, "verified: ") || !strings.Contains(stderr, "next start or reload on: ") {
		t.Errorf("activate says %q, want what verify found, and when the model runs", stderr)
	}
	if stdout, _ = agent(exitDone, "check-config"); !strings.Contains(stdout, good) ||
		!strings.Contains(stdout, "model activate") {
		t.Errorf("check-config does not say that the active model runs:\n%s", stdout)
	}
	pictures := filepath.Join(t.TempDir(), "pictures")
	agent(exitDone, "demo-data", "--out", pictures, "--n", "13", "--seed", "5")
	run := []string{"run", "--source", "file://" + pictures + "/empty", "--broker", "embedded", "--set",
		"http.listen=off"}
	agent(exitDone, run...)

	bad := brokenBundle(t, bundleDir)
	stdout, _ = agent(exitDone, "model", "install", bad, "--json")
	broken := digest(t, stdout)
	agent(exitFailed, "model", "activate", broken)
	agent(exitDone, "model", "activate", broken, "--no-verify")
	if _, stderr = agent(exitDone, run...); !strings.Contains(stderr,
		"the new model was refused, the one before goes on") || !strings.Contains(stderr, "models/"+good) {
		t.Errorf("run with a broken model says:\n%s", stderr)
	}
	if stdout, _ = agent(exitDone, "model", "list"); !strings.Contains(stdout, "* "+good) ||
		!strings.Contains(stdout, "  "+broken) {
		t.Errorf("list shows:\n%s", stdout)
	}
	agent(exitFailed, "model", "remove", good)
	agent(exitDone, "model", "remove", broken)
	agent(exitConfig, "model", "activate", good, "--set", "model.bundle="+bundleDir)
}

// TestModelLine: two models of one name are told apart by their files, their size and their date.
func TestModelLine(t *testing.T) {
	state, dir := t.TempDir(), filepath.Join(t.TempDir(), "bundle")
	if err := os.CopyFS(dir, os.DirFS("../../demo/bundle")); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	fp32 := b.Spec.Files[bundle.FileFP32]
	b.Spec.Files[bundle.FileINT8TRT], b.Spec.Files[bundle.FileINT8CPU], b.Spec.Files[bundle.FileFP16] = fp32, fp32, fp32
	b.Spec.Version = "1.1-int8"
	if err := bundle.WriteSpec(dir, &b.Spec); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{dir, "../../demo/bundle"} {
		if code, _, stderr := agentCmd(t, "model", "install", from, "--set", "state_dir="+state); code != exitDone {
			t.Fatal(stderr)
		}
	}
	_, stdout, _ := agentCmd(t, "model", "list", "--set", "state_dir="+state)
	lines := strings.Split(stdout, "\n")
	for i, want := range []string{"  parts 1.0             fp32               5.2 MB  2026-11-24",
		"  parts 1.1-int8        fp16 fp32 int8    18.7 MB  2026-11-24"} {
		if !strings.HasSuffix(lines[i], want) {
			t.Errorf("line %d: got %q, want it to end with %q", i, lines[i], want)
		}
	}
	_, stdout, _ = agentCmd(t, "model", "list", "--json", "--set", "state_dir="+state)
	const want = `"name":"parts","version":"1.0","active":false,"precisions":["fp32"],"bytes":5152966,` +
		`"created":"2026-11-24T00:12:13Z","local":false}` + "\n"
	if !strings.Contains(stdout, want) {
		t.Errorf("got %s, want %s", stdout, want)
	}
}

// brokenBundle is a whole bundle, by its digests, whose network is none.
func brokenBundle(t *testing.T, from string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "broken")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const text = "this is no network"
	f := b.Spec.Files[bundle.FileFP32]
	f.SHA256, f.Bytes = fmt.Sprintf("%x", sha256.Sum256([]byte(text))), int64(len(text))
	b.Spec.Files[bundle.FileFP32] = f
	if err := errors.Join(os.WriteFile(filepath.Join(dir, f.Path), []byte(text), 0o644),
		bundle.WriteSpec(dir, &b.Spec)); err != nil {
		t.Fatal(err)
	}
	return dir
}
