package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
)

// TestRuntimeVerbs installs the library that the tests run with, and lets version find it.
func TestRuntimeVerbs(t *testing.T) {
	about, err := infer.About(infer.Config{})
	if err != nil {
		t.Skip("ONNX Runtime not found (make deps)")
	}
	library, err := os.ReadFile(about.Path)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "libonnxruntime.so."+about.Version), library, 0o644); err != nil {
		t.Fatal(err)
	}
	state := "state_dir=" + t.TempDir()
	if code, stdout, stderr := agentCmd(t, "runtime", "list", "--set", state); code != exitDone || stdout != "" ||
		!strings.Contains(stderr, noRuntime) {
		t.Errorf("an empty list: exit %d: %s%s", code, stdout, stderr)
	}
	code, stdout, stderr := agentCmd(t, "runtime", "install", "--json", "--set", state, folder)
	var line runtimeLine
	if err := json.Unmarshal([]byte(stdout), &line); code != exitDone || err != nil || !line.Current ||
		line.Version != about.Version || len(line.Providers) != 1 {
		t.Fatalf("install: exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	if code, stdout, stderr := agentCmd(t, "runtime", "list", "--set", state); code != exitDone ||
		!strings.HasPrefix(stdout, "* "+line.Name) {
		t.Errorf("list: exit %d: %s%s", code, stdout, stderr)
	}
	t.Setenv("ORT_LIB", "")
	code, stdout, stderr = agentCmd(t, "doctor", "--json", "--set", state)
	if !strings.Contains(stdout, filepath.Join("runtimes", "current", "libonnxruntime.so")) {
		t.Errorf("doctor does not find it: exit %d: %s%s", code, stdout, stderr)
	}
	if code, _, stderr := agentCmd(t, "runtime", "use", "--set", state, "1.2.3"); code != exitFailed ||
		!strings.Contains(stderr, line.Name) {
		t.Errorf("use of another: exit %d: %s", code, stderr)
	}
	if code, _, stderr := agentCmd(t, "runtime", "remove", "--set", state, line.Name); code != exitDone {
		t.Errorf("remove: exit %d: %s", code, stderr)
	}
	if code, _, stderr := agentCmd(t, "runtime", "install", "--set", state, state); code != exitFailed ||
		!strings.Contains(stderr, "is not there") {
		t.Errorf("install of nothing: exit %d: %s", code, stderr)
	}
}
