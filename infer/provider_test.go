package infer_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
)

// TestLadder climbs down from the GPU providers on the real library, which on a machine without a
// GPU refuses them in its own words. A machine that has one proves nothing here.
func TestLadder(t *testing.T) {
	info := open(t, infer.Config{}, tiny).Info()
	if info.Provider != infer.CPU {
		t.Skipf("this machine runs the network on %s", info.Provider)
	}
	var tried []string
	for _, a := range info.Tried {
		tried = append(tried, a.Provider)
		if a.Err == nil || a.Err.Error() == "" || strings.Contains(a.Err.Error(), "\n") {
			t.Errorf("%s was given up for no reason that fits a line: %v", a.Provider, a.Err)
		}
		t.Logf("%s: %v", a.Provider, a.Err)
	}
	if got := strings.Join(tried, " "); got != "tensorrt cuda" {
		t.Errorf("auto tried %q before cpu, want tensorrt cuda", got)
	}

	warn := open(t, infer.Config{Providers: []string{infer.CUDA, infer.CPU}, OnFallback: "warn"}, tiny).Info()
	if warn.Provider != infer.CPU || len(warn.Tried) != 1 || warn.Tried[0].Provider != infer.CUDA {
		t.Errorf("cuda, cpu with on_fallback warn: %+v", warn)
	}

	for _, c := range []infer.Config{
		{Providers: []string{infer.TensorRT, infer.CPU}},
		{Providers: []string{infer.TensorRT, infer.CPU}, OnFallback: "fail"},
		{Providers: []string{infer.TensorRT, infer.CUDA}, OnFallback: "warn"},
	} {
		_, err := infer.Open(context.Background(), c, tiny)
		if !errors.Is(err, infer.ErrNoProvider) || !strings.Contains(err.Error(), info.Tried[0].Err.Error()) {
			t.Errorf("%v %s: got %v, want the reason %q", c.Providers, c.OnFallback, err, info.Tried[0].Err)
		}
	}
}

// A damaged file is the file's fault on every provider: the message must not be about GPUs.
func TestLadderStopsAtABrokenModel(t *testing.T) {
	needLibrary(t)
	net := tiny
	net.Classes = 4
	_, err := infer.Open(context.Background(), infer.Config{}, net)
	if err == nil || errors.Is(err, infer.ErrNoProvider) || !strings.Contains(err.Error(), "4 labels") {
		t.Errorf("got %v", err)
	}
}

// build compiles a library from one line of C.
func build(t *testing.T, name, source string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cc := exec.Command("cc", "-shared", "-fPIC", "-x", "c", "-o", path, "-")
	cc.Stdin = strings.NewReader(source)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return path
}

func TestLibraryThatWillNotDo(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	// What ONNX Runtime 1.23 does when the binding asks for its API 24.
	old := build(t, "libonnxruntime.so.1.23.2", `
		static const void *get(unsigned v) { return (void*)0; }
		static const char *version(void) { return "1.23.2"; }
		static const struct { const void *(*get)(unsigned); const char *(*version)(void); } base = {get, version};
		const void *OrtGetApiBase(void) { return &base; }`)
	foreign := build(t, "libforeign.so", "int x;")
	tests := []struct{ library, want string }{
		{text, "libonnxruntime.so: "},
		{old, "libonnxruntime.so.1.23.2 is older than 1.24"},
		{foreign, "libforeign.so is not an ONNX Runtime"},
	}
	for _, tt := range tests {
		for _, byEnv := range []bool{false, true} {
			c := infer.Config{Library: tt.library}
			if byEnv {
				c.Library = "auto"
				t.Setenv("ORT_LIB", tt.library)
			}
			_, err := infer.Version(c)
			if !errors.Is(err, infer.ErrNoLibrary) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "make deps") {
				t.Errorf("%s: got %v, want %q and the cure", tt.library, err, tt.want)
			}
		}
	}
}

func TestSearchOrder(t *testing.T) {
	t.Setenv("ORT_LIB", "")
	all := (&infer.Config{}).Candidates()
	if n := len(all); n < 2 || all[n-2] != "libonnxruntime.so" || all[n-1] != "libonnxruntime.so.1" {
		t.Errorf("the system's library is not the last resort: %q", all)
	}
	t.Setenv("ORT_LIB", "/a/lib.so")
	if got := (&infer.Config{Library: "auto"}).Candidates(); len(got) != 1 || got[0] != "/a/lib.so" {
		t.Errorf("with ORT_LIB: %q", got)
	}
	if got := (&infer.Config{Library: "/b/lib.so"}).Candidates(); len(got) != 1 || got[0] != "/b/lib.so" {
		t.Errorf("with infer.library: %q", got)
	}
}

// One process has one ONNX Runtime: a second one that is asked for by name is refused, not ignored.
func TestSecondLibrary(t *testing.T) {
	first := open(t, cpu, tiny).Info().Library
	other := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if err := os.Symlink(first, other); err != nil {
		t.Fatal(err)
	}
	if _, err := infer.Version(infer.Config{Library: other}); err == nil || !strings.Contains(err.Error(), first+" is loaded already") {
		t.Errorf("got %v", err)
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		c    infer.Config
		want string // "" is valid
	}{
		{infer.Config{}, ""},
		{infer.Config{Library: "auto", Providers: []string{"auto"}, OnFallback: "fail"}, ""},
		{infer.Config{Providers: []string{"tensorrt", "cpu"}, OnFallback: "warn", Threads: 4, MaxBatch: 8}, ""},
		{infer.Config{Library: "/none.so"}, "infer.library: /none.so is not a file"},
		{infer.Config{Providers: []string{"gpu"}}, `infer.providers[0]: must be auto or one of tensorrt, cuda, cpu, got "gpu"`},
		{infer.Config{Providers: []string{"auto", "cpu"}}, "infer.providers: auto stands alone"},
		{infer.Config{Providers: []string{"cpu", "cpu"}}, "infer.providers[1]: cpu is there twice"},
		{infer.Config{OnFallback: "ignore"}, "infer.on_fallback: must be fail or warn"},
		{infer.Config{Threads: -1}, "infer.threads:"},
		{infer.Config{MaxBatch: 1000}, "infer.max_batch:"},
	}
	for _, tt := range tests {
		err := tt.c.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: got %v, want %q", tt.c, err, tt.want)
		}
	}
}
