package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// doctor runs the verb with --json and returns its findings by check.
func doctor(t *testing.T, wantCode int, args ...string) map[string]finding {
	t.Helper()
	code, stdout, stderr := agentCmd(t, append([]string{"doctor", "--json", "--set", "state_dir=" + t.TempDir()}, args...)...)
	if code != wantCode {
		t.Errorf("doctor %v: exit %d, want %d: %s%s", args, code, wantCode, stdout, stderr)
	}
	found := make(map[string]finding)
	for line := range strings.Lines(stdout) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if f.Status != fine && f.Cure == "" {
			t.Errorf("%+v has no cure", f)
		}
		found[f.Check] = f
	}
	return found
}

// jetson writes the files that tell a Jetson of the given L4T.
func jetson(t *testing.T, release string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/nv_tegra_release": release, "proc/device-tree/model": "NVIDIA Jetson Orin NX\x00",
		"proc/device-tree/compatible": "nvidia,p3767-0000\x00nvidia,tegra234\x00", "proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 100000 kB\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDoctorOfAHealthyMachine(t *testing.T) {
	found := doctor(t, exitDone, "--set", "model.bundle="+seededBundle(t))
	for _, check := range []string{"machine", "jetpack", "onnxruntime", "opencv", "bundle", "camera", "memory", "disk", "thermal", "clock", "groups", "broker"} {
		if f, ok := found[check]; !ok || f.Found == "" {
			t.Errorf("check %s = %+v", check, f)
		}
	}
	if !strings.Contains(found["bundle"].Found, "digest as in its manifest") {
		t.Errorf("bundle: %+v", found["bundle"])
	}
}

func TestDoctorOfAJetson(t *testing.T) {
	found := doctor(t, exitDone, "--set", "model.bundle="+seededBundle(t), "--root", jetson(t, "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic"))
	if f := found["jetpack"]; f.Status != fine || f.Found != "JetPack 6.2 (L4T 36.4.3), sm_87" {
		t.Errorf("jetpack: %+v", f)
	}
	if f := found["memory"]; f.Status != warning || !strings.HasPrefix(f.Found, "97 of 7812 MiB") {
		t.Errorf("memory: %+v", f)
	}
	found = doctor(t, exitFailed, "--set", "model.bundle="+seededBundle(t), "--root", jetson(t, "# R32 (release), REVISION: 7.4, GCID: 1"))
	if f := found["jetpack"]; f.Status != failure || !strings.Contains(f.Cure, "JetPack 4 is not supported") {
		t.Errorf("jetpack 4: %+v", f)
	}
}

// TestDoctorNamesWhatIsBroken breaks one part at a time.
func TestDoctorNamesWhatIsBroken(t *testing.T) {
	bundle := seededBundle(t)
	damaged := seededBundle(t)
	model := filepath.Join(damaged, "fp32.onnx")
	weights, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	weights[len(weights)/2] ^= 1
	if err := os.WriteFile(model, weights, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ check, set, want string }{
		{"bundle", "model.bundle=" + damaged, "fp32.onnx"},
		{"bundle", "model.bundle=/nowhere", "/nowhere"},
		{"broker", "mqtt.broker=tcp://127.0.0.1:1", "refused"},
		{"camera", "cameras.0.source=/dev/video99", "/dev/video99"},
		{"camera", "cameras.0.source=file:///nowhere.mp4", "nowhere.mp4"},
		{"onnxruntime", "infer.library=" + filepath.Join(bundle, "model.yaml"), "model.yaml"}, // a file, and no library
	} {
		f := doctor(t, exitFailed, "--set", "model.bundle="+bundle, "--set", test.set)[test.check]
		if f.Status != failure || !strings.Contains(f.Found, test.want) {
			t.Errorf("%s: %+v, want a failure with %q", test.set, f, test.want)
		}
	}
}

func TestElements(t *testing.T) {
	got := elements("v4l2src device=/dev/video0 ! video/x-raw, width=640 ! queue max-size-buffers=1 ! videoconvert ! appsink name=a")
	if want := []string{"v4l2src", "queue", "videoconvert", "appsink"}; !slices.Equal(got, want) {
		t.Errorf("elements = %v, want %v", got, want)
	}
}
