package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// deviceOf is a device in a folder, with state and trusted keys of its own: at is a path there, agent
// runs a verb, which must end with the code want and say says on stderr, and returns its stdout.
func deviceOf(t *testing.T) (at func(name string) string, agent func(want int, says string, args ...string) string) {
	work := t.TempDir()
	at = func(name string) string { return filepath.Join(work, name) }
	agent = func(want int, says string, args ...string) string {
		t.Helper()
		code, stdout, stderr := agentCmd(t, append(args, "--set", "state_dir="+at("state"), "--set",
			"model.trust="+at("trust"), "--set", "infer.providers=cpu")...)
		if code != want || !strings.Contains(stderr, says) {
			t.Fatalf("%v: exit %d, says %q, want %d and %q", args, code, stderr, want, says)
		}
		return stdout
	}
	return at, agent
}

// TestTaughtHereRuns: with a key trusted, what teach makes of the signed bundle that is installed is
// installed and activated, and shown as local; what calibrate or anybody else makes needs more.
func TestTaughtHereRuns(t *testing.T) {
	needRuntime(t)
	at, agent := deviceOf(t)
	if err := os.CopyFS(at("parts"), os.DirFS(demoBundleDir(t))); err != nil {
		t.Fatal(err)
	}
	agent(exitDone, "", "release", "keygen", "--out", at("k"), "--no-password")
	agent(exitDone, "", "release", "sign", at("parts"), "--release", "3", "--key", at("k.key"), "--out", at("stick"),
		"--with-pictures")
	if err := os.Mkdir(at("trust"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at("k.pub"), at("trust/k.pub")); err != nil {
		t.Fatal(err)
	}
	agent(exitDone, "", "demo-data", "--out", at("pictures"), "--n", "60", "--seed", "5")
	agent(exitDone, "", "teach", at("parts"), "--images", at("pictures"), "--out", at("taught"))
	agent(exitFailed, "needs its signed parent installed", "model", "install", at("taught"))
	agent(exitDone, "", "release", "pull", at("stick"), "--activate", "--no-verify")
	installed := agent(exitDone, "", "model", "install", at("taught"), "--json")
	var line modelLine
	if err := json.Unmarshal([]byte(installed), &line); err != nil || !line.Local || line.Active {
		t.Fatalf("installed: %s, %v", installed, err)
	}
	agent(exitDone, "verified", "model", "activate", line.SHA256)
	if out := agent(exitDone, "", "model", "list"); !strings.Contains(out, "  local") ||
		strings.Count(out, "local") != 1 {
		t.Errorf("list shows:\n%s", out)
	}
	if out := agent(exitDone, "", "release", "status"); !strings.Contains(out, "made on this device from it") {
		t.Errorf("status shows:\n%s", out)
	}
	agent(exitFailed, "takes none of those", "model", "activate", line.SHA256, "--set", "model.allow_local=none")
	agent(exitConfig, "model.allow_local: must be none, teach or all", "model", "list", "--set",
		"model.allow_local=some")
	agent(exitFailed, "was made on a device", "release", "push", filepath.Join(at("state"), "models", line.SHA256),
		at("stick"))
	agent(exitDone, "", "release", "sign", at("taught"), "--release", "4", "--key", at("k.key"), "--out", at("next"),
		"--with-pictures")
	agent(exitDone, "", "release", "pull", at("next"))
	if out := agent(exitDone, "", "model", "list"); strings.Contains(out, "local") {
		t.Errorf("the publisher has signed it, and list shows:\n%s", out)
	}
}
