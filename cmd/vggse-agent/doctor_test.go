package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/doctor"
	"github.com/vggse/vggse-agent/infer"
)

// doctorFindings runs the verb with --json and returns its findings by check.
func doctorFindings(t *testing.T, wantCode int, args ...string) map[string]doctor.Finding {
	t.Helper()
	code, stdout, stderr := agentCmd(t, append([]string{"doctor", "--json", "--set", "state_dir=" + t.TempDir()},
		args...)...)
	if code != wantCode {
		t.Errorf("doctor %v: exit %d, want %d: %s%s", args, code, wantCode, stdout, stderr)
	}
	found := make(map[string]doctor.Finding)
	for line := range strings.Lines(stdout) {
		var f doctor.Finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if f.Status != doctor.OK && f.Cure == "" {
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
		"proc/device-tree/compatible": "nvidia,p3767-0000\x00nvidia,tegra234\x00",
		"proc/meminfo":                "MemTotal: 8000000 kB\nMemAvailable: 100000 kB\n",
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
	found := doctorFindings(t, exitDone, "--set", "model.bundle="+seededBundle(t))
	for _, check := range []string{"machine", "jetpack", "cuda", "cudnn", "tensorrt", "onnxruntime",
		"tensorrt provider", "cuda provider", "opencv", "bundle", "camera", "memory", "disk", "thermal", "clock",
		"groups", "broker"} {
		if f, ok := found[check]; !ok || f.Found == "" {
			t.Errorf("check %s = %+v", check, f)
		}
	}
	if !strings.Contains(found["bundle"].Found, "digest as in its manifest") {
		t.Errorf("bundle: %+v", found["bundle"])
	}
}

func TestDoctorOfAJetson(t *testing.T) {
	found := doctorFindings(t, exitDone, "--set", "model.bundle="+seededBundle(t), "--root",
		jetson(t, "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic"))
	if f := found["jetpack"]; f.Status != doctor.OK || f.Found != "JetPack 6.2 (L4T 36.4.3), sm_87" {
		t.Errorf("jetpack: %+v", f)
	}
	if f := found["memory"]; f.Status != doctor.Warn || !strings.HasPrefix(f.Found, "97 of 7812 MiB") {
		t.Errorf("memory: %+v", f)
	}
	found = doctorFindings(t, exitFailed, "--set", "model.bundle="+seededBundle(t), "--root",
		jetson(t, "# R32 (release), REVISION: 7.4, GCID: 1"))
	if f := found["jetpack"]; f.Status != doctor.Fail || !strings.Contains(f.Cure, "JetPack 4 is not supported") {
		t.Errorf("jetpack 4: %+v", f)
	}
}

// fixture lays out the tree of a machine from device's tests; \0 in it is a NUL.
func fixture(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../device/testdata/" + name + ".tree")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, part := range strings.Split("\n"+string(text), "\n-- ")[1:] {
		path, content, _ := strings.Cut(part, " --\n")
		path = filepath.Join(root, strings.TrimSuffix(path, " --"))
		content = strings.ReplaceAll(content, `\0`, "\x00")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestDoctorOfEachJetPack: the facts come from the fixture, the ONNX Runtime from here, which has
// no TensorRT.
func TestDoctorOfEachJetPack(t *testing.T) {
	about, err := infer.About(infer.Config{})
	if err != nil {
		t.Skip("ONNX Runtime not found (make deps)")
	}
	bundleDir := seededBundle(t)
	for name, want := range map[string]map[string]string{
		"orin-jp5": {"jetpack": "JetPack 5.1.6 (L4T 35.6.4), sm_87", "cuda": "11.4.298", "cudnn": "8.6.0",
			"tensorrt": "8.5.2"},
		"orin-jp6": {"jetpack": "JetPack 6.2 (L4T 36.4.3), sm_87", "cuda": "12.6.68", "cudnn": "9.3.0",
			"tensorrt": "10.3.0"},
		"orin-jp72": {"jetpack": "JetPack 7.2 (L4T 39.2.0), sm_87", "cuda": "13.2.51", "cudnn": "9.20.0",
			"tensorrt": "10.16.2"},
	} {
		found := doctorFindings(t, exitDone, "--set", "model.bundle="+bundleDir, "--root", fixture(t, name))
		for check, text := range want {
			if f := found[check]; f.Status != doctor.OK || f.Found != text {
				t.Errorf("%s: %s: %+v, want ok and %q", name, check, f, text)
			}
		}
		f := found["tensorrt provider"]
		if about.Providers[0] == infer.CPU &&
			(f.Status != doctor.Warn || !strings.Contains(f.Cure, "runtime install") ||
				!strings.Contains(f.Cure, "JetPack ")) {
			t.Errorf("%s: %+v, want a Warn that names the build to install", name, f)
		}
	}
	for _, check := range []string{"cuda", "cudnn", "tensorrt"} {
		if f := doctorFindings(t, exitDone, "--set", "model.bundle="+bundleDir, "--root",
			jetson(t, "# R36 (release), REVISION: 4.3, GCID: 1"))[check]; f.Status != doctor.Warn {
			t.Errorf("a Jetson without %s: %+v", check, f)
		}
	}
}

// TestDoctorOfAMissingTensorRT: an ONNX Runtime with the bridge inside and nothing behind it says
// what is missing, and fails where the configuration insists.
func TestDoctorOfAMissingTensorRT(t *testing.T) {
	core, err := filepath.Abs("../../build/onnxruntime/older/1.23.2-" + runtime.GOARCH + "/libonnxruntime.so")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(core); err != nil || runtime.GOARCH != "amd64" {
		t.Skip("no ONNX Runtime with a bridge to TensorRT here (make deps-test, amd64)")
	}
	t.Setenv("ORT_SHIM", filepath.Join(stubRuntime(t), "libvggse-ort-shim.so"))
	args := []string{"--set", "model.bundle=" + seededBundle(t), "--set", "infer.library=" + core}
	found := doctorFindings(t, exitFailed, append(args, "--set", "infer.providers=tensorrt")...)
	if f := found["tensorrt provider"]; f.Status != doctor.Fail ||
		!strings.Contains(f.Found, "libonnxruntime_providers_") || strings.Contains(f.Found, "\n") {
		t.Errorf("strict: %+v", f)
	}
	if f := found["onnxruntime"]; !strings.HasPrefix(f.Found, "1.23.2, ") ||
		!strings.Contains(f.Found, "C API 23 through ") {
		t.Errorf("onnxruntime: %+v", f)
	}
	found = doctorFindings(t, exitDone, append(args, "--set", "infer.providers=tensorrt,cpu", "--set",
		"infer.on_fallback=warn")...)
	if f := found["tensorrt provider"]; f.Status != doctor.Warn {
		t.Errorf("with on_fallback warn: %+v", f)
	}
}

// TestDoctorNamesWhatIsBroken breaks one part at a time.
func TestDoctorNamesWhatIsBroken(t *testing.T) {
	bundleDir := seededBundle(t)
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
		// a file, and no library
		{"onnxruntime", "infer.library=" + filepath.Join(bundleDir, "model.yaml"), "model.yaml"},
	} {
		f := doctorFindings(t, exitFailed, "--set", "model.bundle="+bundleDir, "--set", test.set)[test.check]
		if f.Status != doctor.Fail || !strings.Contains(f.Found, test.want) {
			t.Errorf("%s: %+v, want a Fail with %q", test.set, f, test.want)
		}
	}
}
