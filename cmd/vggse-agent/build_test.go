package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/infer"
)

// TestBuildRefuses on a machine without the provider, in ONNX Runtime's own words, and leaves
// nothing.
func TestBuildRefuses(t *testing.T) {
	about, err := infer.About(infer.Config{})
	if err != nil {
		t.Skip("ONNX Runtime not found (make deps)")
	}
	if about.Providers[0] != infer.CPU {
		t.Skipf("this ONNX Runtime has %s", about.Providers[0])
	}
	cache := t.TempDir()
	args := []string{"build", "--set", "state_dir=" + t.TempDir(), "--set", "cache_dir=" + cache, seededBundle(t)}
	if code, _, stderr := agentCmd(t, args...); code != exitFailed ||
		!strings.Contains(stderr, "TensorRT execution provider is not enabled in this build") {
		t.Errorf("build: exit %d: %s", code, stderr)
	}
	if left, _ := os.ReadDir(cache); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if code, _, stderr := agentCmd(t, append(args, "--provider", "cpu")...); code != exitUsage ||
		!strings.Contains(stderr, "--provider must be") {
		t.Errorf("build for the cpu: exit %d: %s", code, stderr)
	}
}

// stubRuntime is a folder with a real ONNX Runtime that has the bridge to TensorRT, and infer's
// stub in the place of the provider.
func stubRuntime(t *testing.T) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the ONNX Runtime with a bridge to TensorRT is for amd64")
	}
	core, err := os.ReadFile("../../build/onnxruntime/older/1.23.2-amd64/libonnxruntime.so")
	if err != nil {
		t.Skip("no older ONNX Runtimes here (make deps-test)")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "libonnxruntime.so"), core, 0o755); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(dir, "shared.c")
	if err := os.WriteFile(shared,
		[]byte("static void *host; void Provider_SetHost(void *h) { host = h; } void *Provider_GetHost(void) { "+
			"return host; }"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{
		"libonnxruntime_providers_shared.so":   shared,
		"libonnxruntime_providers_tensorrt.so": "../../infer/testdata/stub.c",
		"libvggse-ort-shim.so":                 "../../infer/shim/shim.c",
	} {
		if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", filepath.Join(dir, name),
			source).CombinedOutput(); err != nil {
			t.Fatalf("cc: %v\n%s", err, out)
		}
	}
	return dir
}

// TestBuildWithStub lets a provider hang, crash and fail while an engine is built by the real
// program.
func TestBuildWithStub(t *testing.T) {
	program := filepath.Join(t.TempDir(), "vggse-agent")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir, bundleDir := stubRuntime(t), seededBundle(t)
	for _, tt := range []struct {
		stub string
		stop os.Signal
		want string
	}{
		{"sleep", syscall.SIGINT, "interrupted"},
		{"sleep", syscall.SIGTERM, "interrupted"},
		{"sleep", syscall.SIGKILL, ""},
		{"abort", nil, "SIGABRT: abort"},
		{"nothing", nil, "Failed to get symbol GetProvider"},
	} {
		state, cache, marker := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "loaded")
		cmd := exec.CommandContext(t.Context(), program, "build", "--set", "state_dir="+state, "--set",
			"cache_dir="+cache, bundleDir)
		cmd.Env = append(os.Environ(), "ORT_LIB="+filepath.Join(dir, "libonnxruntime.so"),
			"ORT_SHIM="+filepath.Join(dir, "libvggse-ort-shim.so"), "STUB="+tt.stub, "STUB_MARKER="+marker)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if tt.stop != nil {
			for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
				if _, err := os.Stat(marker); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the stub was never loaded: %s", stderr.String())
				}
			}
			if err := cmd.Process.Signal(tt.stop); err != nil {
				t.Fatal(err)
			}
		}
		err := cmd.Wait()
		if err == nil || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%s, %v: %v: %s, want %q", tt.stub, tt.stop, err, stderr.String(), tt.want)
		}
		if left, _ := filepath.Glob(filepath.Join(cache, "engines", "[0-9a-f]*", "*")); len(left) > 0 &&
			tt.stop != syscall.SIGKILL {
			t.Errorf("%s, %v: left %v", tt.stub, tt.stop, left)
		}
		waitForNobody(t, program)
	}
}

// waitForNobody sees that no process runs the program any more.
func waitForNobody(t *testing.T, program string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		exes, _ := filepath.Glob("/proc/[0-9]*/exe")
		var alive []string
		for _, exe := range exes {
			if target, _ := os.Readlink(exe); target == program {
				alive = append(alive, exe)
			}
		}
		if len(alive) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %v", alive)
		}
	}
}
