package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// thenSignals has the program, when it is done, send the signal to all of its threads that Go sends them at times.
const thenSignals = "TEST_THEN_SIGNALS"

// signalThreads ends the process where a thread has lost its stack for signals.
func signalThreads() {
	for range 100 {
		threads, _ := os.ReadDir("/proc/self/task")
		for _, d := range threads {
			if id, err := strconv.Atoi(d.Name()); err == nil {
				_ = unix.Tgkill(os.Getpid(), id, unix.SIGURG) // it may have ended
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// TestOpenVINO installs the wheel with OpenVINO and runs the demo on it: in every precision the
// same answers as on the CPU provider, every node placed on OpenVINO, and auto takes whichever of
// the two was measured to be the faster one.
func TestOpenVINO(t *testing.T) {
	wheels, _ := filepath.Glob("../../build/onnxruntime/openvino/*.whl")
	if runtime.GOARCH != "amd64" || len(wheels) == 0 {
		t.Skip("no ONNX Runtime with OpenVINO (make openvino, on x86-64)")
	}
	home := t.TempDir()
	agent := func(args ...string) (stdout, stderr string) {
		t.Helper()
		c := exec.Command(os.Args[0], args...)
		c.Env = append(os.Environ(), "TEST_AS_VGGSE_AGENT=1", thenSignals+"=1", "ORT_LIB=", "XDG_STATE_HOME="+home,
			"XDG_CACHE_HOME="+home)
		var out, words bytes.Buffer
		c.Stdout, c.Stderr = &out, &words
		if err := c.Run(); err != nil {
			t.Fatalf("%q: %v\n%s%s", args, err, out.String(), words.String())
		}
		return out.String(), words.String()
	}
	stdout, _ := agent("runtime", "install", "--json", wheels[0])
	var installed runtimeLine
	if err := json.Unmarshal([]byte(stdout), &installed); err != nil ||
		strings.Join(installed.Providers, " ") != "openvino cpu" || len(installed.Missing) != 0 {
		t.Fatalf("install: %v: %s", err, stdout)
	}
	bundle, err := filepath.Abs("../../demo/bundle")
	if err != nil {
		t.Fatal(err)
	}
	sameAnswers(t, agent, bundle)

	var line buildLine
	stdout, _ = agent("build", "--provider", "openvino", "--precision", "fp32", "--json", bundle)
	if err := json.Unmarshal([]byte(stdout), &line); err != nil || line.Nodes["openvino"] == 0 || len(line.OnCPU) != 0 {
		t.Errorf("placement: %v: %s", err, stdout)
	}
	measuredChoice(t, agent, bundle, home)
}

// sameAnswers lets verify hold OpenVINO against what FP32 answered.
func sameAnswers(t *testing.T, agent func(args ...string) (string, string), bundle string) {
	t.Helper()
	precisions := []string{"fp32"}
	if text, _ := os.ReadFile("/proc/cpuinfo"); bytes.Contains(text, []byte("avx512_bf16")) {
		precisions = append(precisions, "bf16")
	}
	for _, precision := range precisions {
		stdout, _ := agent("verify", bundle, "--provider", "openvino", "--precision", precision, "--json")
		var v struct {
			Provider, Precision string
			OK                  bool
			Diff                float64 `json:"max_abs_diff"`
		}
		if err := json.Unmarshal([]byte(stdout), &v); err != nil || v.Provider != "openvino" ||
			v.Precision != precision || !v.OK || (v.Diff > 1e-4) != (precision == "bf16") {
			t.Errorf("verify in %s: %v: %s", precision, err, stdout)
		}
	}
}

// measuredChoice lets auto choose, twice: the second start reads what the first measured.
func measuredChoice(t *testing.T, agent func(args ...string) (string, string), bundle, home string) {
	t.Helper()
	var first string
	for range 2 {
		stdout, _ := agent("verify", bundle, "--json")
		races, _ := filepath.Glob(filepath.Join(home, "vggse-agent/engines/*/*/race.json"))
		if len(races) != 1 {
			t.Fatalf("%d races were held, one was wanted", len(races))
		}
		text, err := os.ReadFile(races[0])
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Own   float64 `json:"own_ns"`
			Rival float64 `json:"rival_ns"`
		}
		var v struct{ Provider string }
		if err := json.Unmarshal(text, &r); err != nil || r.Own <= 0 || r.Rival <= 0 {
			t.Fatalf("race: %v: %s", err, text)
		}
		want := "cpu"
		if r.Own <= 0.95*r.Rival {
			want = "openvino"
		}
		if err := json.Unmarshal([]byte(stdout), &v); err != nil || v.Provider != want {
			t.Errorf("auto took %q, %s is faster: %s (%v)", v.Provider, want, text, err)
		}
		if first != "" && first != string(text) {
			t.Errorf("the second start measured again: %s, then %s", first, text)
		}
		first = string(text)
	}
}
