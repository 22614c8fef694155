package infer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
)

// compileShim builds the shim as the Makefile does.
func compileShim(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "libvggse-ort-shim.so")
	out, err := exec.Command("cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden",
		"-o", path, "shim/shim.c").CombinedOutput()
	if err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return path
}

// TestOlderRuntimes runs the tests of this package once more for each older ONNX Runtime, each in a
// process of its own: answers, cancelling, the ladder and its texts must be the same through the
// shim.
func TestOlderRuntimes(t *testing.T) {
	if os.Getenv("ORT_LIB") != "" {
		t.Skip("already the run with a library of its own")
	}
	libraries, _ := filepath.Glob("../build/onnxruntime/older/*-" + runtime.GOARCH + "/libonnxruntime.so")
	if len(libraries) < 2 {
		t.Skip("no older ONNX Runtimes here (make deps-test)")
	}
	shim := compileShim(t)
	for _, library := range libraries {
		library, err := filepath.Abs(library)
		if err != nil {
			t.Fatal(err)
		}
		version, _, _ := strings.Cut(filepath.Base(filepath.Dir(library)), "-")
		t.Run(version, func(t *testing.T) {
			again := exec.CommandContext(t.Context(), os.Args[0], "-test.v",
				"-test.run=^(TestRunAnswersAsNumpy|TestInfo|TestRunAllocatesNothing|TestRunRefuses|"+
					"TestCancelEndsTheRun|TestRunsQueueAndCloseWaits|TestOpenExplains|TestLadder.*|TestAbout)$")
			again.Env = append(os.Environ(), "ORT_LIB="+library, "ORT_SHIM="+shim, "ORT_EXPECT="+version)
			out, err := again.CombinedOutput()
			if err != nil || strings.Count(string(out), "\n--- PASS") < 8 || strings.Contains(string(out), "--- SKIP") {
				t.Errorf("with ONNX Runtime %s: %v\n%s", version, err, out)
			}
		})
	}
}

// TestAbout: the library says who it is; ORT_EXPECT is for TestOlderRuntimes.
func TestAbout(t *testing.T) {
	needLibrary(t)
	r, err := infer.About(infer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Providers) == 0 || r.Providers[len(r.Providers)-1] != infer.CPU || !filepath.IsAbs(r.Path) {
		t.Errorf("About = %+v, want a path, and cpu last of the providers", r)
	}
	if want := os.Getenv("ORT_EXPECT"); want != "" {
		var minor int
		if _, err := fmt.Sscanf(want, "1.%d", &minor); err != nil {
			t.Fatal(err)
		}
		if r.Version != want || r.API != minor || r.Shim == "" {
			t.Errorf("About = %+v, want version %s, API %d, through the shim", r, want, minor)
		}
	} else if r.API != 24 || r.Shim != "" {
		t.Errorf("About = %+v, want API 24 without shim", r)
	}
}

// TestWhatTheShimLacks: a function newer than the library is an error in words, not a crash.
func TestWhatTheShimLacks(t *testing.T) {
	program := filepath.Join(t.TempDir(), "lacks")
	source := `
		#include <dlfcn.h>
		#include <stdint.h>
		#include <stdio.h>
		typedef struct { const void *(*get_api)(uint32_t); const char *(*get_version)(void); } Base;
		static int code; static const char *said;
		static void *create(int c, const char *message) { code = c; said = message; return &code; }
		static void *old[266] = {create};
		static const void *get(uint32_t v) { return v <= 16 ? old : 0; }
		static const char *version(void) { return "1.16.3"; }
		int main(int n, char **v) {
			static const Base real = {get, version};
			void *shim = dlopen(v[1], RTLD_NOW);
			((void (*)(const void *))dlsym(shim, "vggse_shim_over"))(&real);
			const Base *base = ((const Base *(*)(void))dlsym(shim, "OrtGetApiBase"))();
			void *const *api = base->get_api(24);
			int last = api[265] == 0, first = ((void *(*)(int, int))api[266])(1, 2) == &code,
				end = ((void *(*)(void))api[414])() == &code;
			printf("%d %d %d code %d: %s", last, first, end, code, said);
			return base->get_api(16) != old;
		}`
	cc := exec.Command("cc", "-x", "c", "-o", program, "-", "-ldl")
	cc.Stdin = strings.NewReader(source)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	out, err := exec.Command(program, compileShim(t)).CombinedOutput()
	if want := "1 1 1 code 9: ONNX Runtime 1.16.3 does not have this function, a newer one does"; err != nil ||
		string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}

// TestShimTable holds the lengths in shim.c, and the places in dynamic.go, against the header that
// the binding was made for.
func TestShimTable(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "table")
	cc := exec.Command("cc", "-Werror", "-I", strings.TrimSpace(string(dir)), "-x", "c", "-o", program, "-")
	// Each name is the first function of the version after it.
	cc.Stdin = strings.NewReader(`
		#include <stddef.h>
		#include <onnxruntime_c_api.h>
		#define AT(name, n) _Static_assert(offsetof(OrtApi, name) == n * sizeof(void *), #name)
		AT(CreateStatus, 0); AT(ReleaseStatus, 93); AT(GetAvailableProviders, 125); AT(ReleaseAvailableProviders, 126);
		AT(SetUserLoggingFunction, 266); AT(SessionOptionsAppendExecutionProvider_VitisAI, 276);
		AT(CreateLoraAdapter, 280);
		AT(GetTensorSizeInBytes, 318); AT(TensorTypeAndShape_HasShape, 390);
		_Static_assert(offsetof(OrtApi, GetEpApi) == 317 * sizeof(void *), "the last of 1.22");
		_Static_assert(offsetof(OrtApi, SetEpDynamicOptions) == 284 * sizeof(void *), "the last of 1.20");
		_Static_assert(ORT_API_VERSION == 24,
			"the binding asks for another version: see binding in library.go, and shim.c");
		_Static_assert(sizeof(OrtApi) <= 512 * sizeof(void *), "room in shim.c");
		int main(void) { return 0; }`)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// build compiles a library from C.
func build(t *testing.T, name, source string, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cc := exec.Command("cc", append([]string{"-shared", "-fPIC", "-o", path, "-x", "c", "-", "-x", "none"},
		flags...)...)
	cc.Stdin = strings.NewReader(source)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return path
}

// pretender is a library that calls itself the ONNX Runtime of a version.
func pretender(t *testing.T, version string) string {
	return build(t, "libonnxruntime.so."+version, `
		static const void *get(unsigned v) { return (void*)0; }
		static const char *version(void) { return "`+version+`"; }
		static const struct { const void *(*get)(unsigned); const char *(*version)(void); } base = {get, version};
		const void *OrtGetApiBase(void) { return &base; }`)
}

func TestLibraryThatWillNotDo(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A library of another machine: the bytes of one of ours, with e_machine changed to RISC-V
	// (243).
	foreign := build(t, "libforeign.so", "int x;")
	riscv := filepath.Join(t.TempDir(), "libriscv.so")
	elf, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	elf[18], elf[19] = 243, 0
	if err := os.WriteFile(riscv, elf, 0o644); err != nil {
		t.Fatal(err)
	}
	// A library that needs another, which is then taken away.
	gone := build(t, "libcudart.so.99", "int cuda(void) { return 1; }", "-Wl,-soname,libcudart.so.99")
	needy := build(t, "libneedy.so", "int cuda(void); int x(void) { return cuda(); }", gone)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ library, want string }{
		{text, "libonnxruntime.so is no library for Linux"},
		{pretender(t, "1.14.1"), "is ONNX Runtime 1.14.1, too old: 1.16 or newer is needed"},
		// through the shim, and then it has no API
		{pretender(t, "1.23.2"), "1.23.2 (ONNX Runtime 1.23.2) does not start"},
		{pretender(t, "2.0.0"), `calls itself ONNX Runtime "2.0.0"`},
		{foreign, "libforeign.so is not an ONNX Runtime: it has no OrtGetApiBase"},
		{riscv, "libriscv.so is for RISCV, this machine is " + runtime.GOARCH},
		{needy, "libneedy.so cannot be loaded: libcudart.so.99 (CUDA) is not on this machine"},
	}
	t.Setenv("ORT_SHIM", compileShim(t))
	for _, tt := range tests {
		for _, byEnv := range []bool{false, true} {
			c := infer.Config{Library: tt.library}
			if byEnv {
				c.Library = "auto"
				t.Setenv("ORT_LIB", tt.library)
			}
			_, err := infer.Version(c)
			if !errors.Is(err, infer.ErrNoLibrary) || !strings.Contains(err.Error(), tt.want) ||
				!strings.Contains(err.Error(), "make deps") {
				t.Errorf("%s: got %v, want %q and the cure", tt.library, err, tt.want)
			}
		}
	}
	t.Setenv("ORT_SHIM", foreign)
	if _, err := infer.Version(infer.Config{Library: pretender(t, "1.23.2")}); err == nil ||
		!strings.Contains(err.Error(), "is not the agent's shim") {
		t.Errorf("with a foreign shim: %v", err)
	}
	t.Setenv("ORT_LIB", "/nowhere/libonnxruntime.so")
	if _, err := infer.Version(infer.Config{}); err == nil ||
		!strings.Contains(err.Error(), "/nowhere/libonnxruntime.so is not there") {
		t.Errorf("a path that leads nowhere: %v", err)
	}
}

func TestFits(t *testing.T) {
	tests := []struct {
		b     infer.Binary
		glibc string
		want  string
	}{
		{infer.Binary{Arch: runtime.GOARCH, Glibc: "2.28"}, "2.31", ""},
		{infer.Binary{Arch: runtime.GOARCH, Glibc: "2.4"}, "2.31", ""},
		{infer.Binary{Arch: runtime.GOARCH}, "2.31", ""},
		{infer.Binary{Arch: runtime.GOARCH, Glibc: "2.34"}, "2.31", "needs glibc 2.34, this system has 2.31"},
		{infer.Binary{Arch: "s390x"}, "2.31", "is for s390x, this machine is " + runtime.GOARCH},
	}
	for _, tt := range tests {
		err := tt.b.Fits(tt.glibc)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v on glibc %s: %v, want %q", tt.b, tt.glibc, err, tt.want)
		}
	}
}

func TestReadBinary(t *testing.T) {
	b, err := infer.ReadBinary(build(t, "libsome.so", "#include <stdio.h>\nint x(void) { return puts(\"\"); }"))
	if err != nil || b.Arch != runtime.GOARCH || b.Glibc == "" || len(b.Needed) != 1 || !strings.HasPrefix(b.Needed[0],
		"libc.so") {
		t.Errorf("ReadBinary = %+v, %v, want this machine, a glibc, and libc needed", b, err)
	}
}

func TestSearchOrder(t *testing.T) {
	t.Setenv("ORT_LIB", "")
	runtimes := t.TempDir()
	chosen := filepath.Join(runtimes, "current", "libonnxruntime.so")
	if err := os.MkdirAll(filepath.Dir(chosen), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(chosen, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	all := (&infer.Config{Runtimes: runtimes}).Candidates()
	if n := len(all); n < 3 || all[0] != chosen || all[n-2] != "libonnxruntime.so" ||
		all[n-1] != "libonnxruntime.so.1" {
		t.Errorf("the installed runtime is not first, or the system's not last: %q", all)
	}
	t.Setenv("ORT_LIB", "/a/lib.so")
	if got := (&infer.Config{Library: "auto", Runtimes: runtimes}).Candidates(); len(got) != 1 ||
		got[0] != "/a/lib.so" {
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
	if _, err := infer.Version(infer.Config{Library: other}); err == nil ||
		!strings.Contains(err.Error(), first+" is loaded already") {
		t.Errorf("got %v", err)
	}
	if _, err := infer.Open(context.Background(), infer.Config{Library: other}, tiny); err == nil {
		t.Error("Open took a second library")
	}
}
