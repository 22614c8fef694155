package infer_test

import (
	"bufio"
	"context"
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

// stubbed is a folder with a real ONNX Runtime 1.23.2, which has the bridge to TensorRT inside, and
// the stub in the place of the provider; it returns the path of the library.
func stubbed(t *testing.T) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the ONNX Runtime with a bridge to TensorRT is for amd64")
	}
	core, err := os.ReadFile("../build/onnxruntime/older/1.23.2-amd64/libonnxruntime.so")
	if err != nil {
		t.Skip("no older ONNX Runtimes here (make deps-test)")
	}
	dir := t.TempDir()
	library := filepath.Join(dir, "libonnxruntime.so")
	if err := os.WriteFile(library, core, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"libonnxruntime_providers_shared.so", "libonnxruntime_providers_tensorrt.so"} {
		source := "testdata/stub.c"
		if strings.Contains(name, "shared") { // what the real one has: a place to keep a pointer
			source = filepath.Join(dir, "shared.c")
			text := "static void *host; void Provider_SetHost(void *h) { host = h; } void *Provider_GetHost(void) " +
				"{ return host; }"
			if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", filepath.Join(dir, name),
			source).CombinedOutput(); err != nil {
			t.Fatalf("cc: %v\n%s", err, out)
		}
	}
	return library
}

// again runs one test of this binary in a process of its own with the stub doing what it is told.
func again(t *testing.T, what, test string, more ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), "ORT_LIB="+stubbed(t), "ORT_SHIM="+compileShim(t), "STUB="+what)
	cmd.Env = append(cmd.Env, more...)
	return cmd
}

// TestStubFails: a provider that loads and offers nothing is refused in ONNX Runtime's words, on
// one line.
func TestStubFails(t *testing.T) {
	out, err := again(t, "nothing", "TestInStub").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused: ") {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// TestSignalsSurviveTheProvider: after a library has replaced Go's handlers, Ctrl-C still comes as
// a signal to Go.
func TestSignalsSurviveTheProvider(t *testing.T) {
	cmd := again(t, "signal", "TestInStub", "STUB_WAIT=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		all = append(all, lines.Text())
		if strings.Contains(lines.Text(), "refused: ") {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
	}
	// Go's own handler lets SIGTERM end the process; the stub's would swallow it, and the process
	// would say so.
	err = cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("SIGTERM was swallowed: %v: %s", err, strings.Join(all, "\n"))
	}
}

// TestInStub is what the tests above run: it opens a network with TensorRT, which must fail.
func TestInStub(t *testing.T) {
	if os.Getenv("STUB") == "" {
		return // it has a meaning in another process only
	}
	_, err := infer.Open(context.Background(), infer.Config{Providers: []string{infer.TensorRT}}, tiny)
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Fatalf("Open = %v, want a refusal on one line", err)
	}
	os.Stdout.WriteString("refused: " + err.Error() + "\n")
	if os.Getenv("STUB_WAIT") != "" {
		time.Sleep(2 * time.Minute)
		t.Error("nobody ended this process")
	}
}
