package infer_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
)

// realLibrary is the bytes of the ONNX Runtime that the tests run with.
func realLibrary(t *testing.T) ([]byte, string) {
	t.Helper()
	needLibrary(t)
	r, err := infer.About(infer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(r.Path)
	if err != nil {
		t.Fatal(err)
	}
	return b, r.Version
}

// otherMachine is the library with the ELF machine of another architecture.
func otherMachine(library []byte) []byte {
	b := bytes.Clone(library[:1<<12])
	b[18] = map[string]byte{"amd64": 183, "arm64": 62}[runtime.GOARCH]
	b[19], b[60], b[61] = 0, 0, 0 // no sections: they would lie beyond the end
	for i := 40; i < 48; i++ {
		b[i] = 0
	}
	b[62], b[63] = 0, 0
	return b
}

type file struct {
	name string
	data []byte
}

func wheel(t *testing.T, files ...file) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "onnxruntime_gpu-1.0-cp310-linux.whl")
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// archive is a .tgz as npm and the release page have them, links among it.
func archive(t *testing.T, files ...file) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "onnxruntime-linux.tgz")
	var out bytes.Buffer
	gz, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(gz)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)), Typeflag: tar.TypeReg}
		if target, ok := strings.CutPrefix(string(f.data), "-> "); ok {
			h.Typeflag, h.Linkname, h.Size, f.data = tar.TypeSymlink, target, 0, nil
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRuntimes installs the real library in every form that it comes in, runs a network with it,
// and takes it away again.
func TestRuntimes(t *testing.T) {
	library, version := realLibrary(t)
	t.Setenv("ORT_LIB", "")
	stub, err := os.ReadFile(build(t, "libonnxruntime_providers_tensorrt.so", "int x;", "-Wl,--no-as-needed,-soname,x"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "libonnxruntime.so"), library, 0o644); err != nil {
		t.Fatal(err)
	}
	foreign := otherMachine(library)
	for name, tt := range map[string]struct{ path, provider string }{
		"wheel": {wheel(t, file{"onnxruntime/capi/libonnxruntime.so." + version, library},
			file{"onnxruntime/capi/libonnxruntime_providers_tensorrt.so", stub}), infer.TensorRT},
		"npm": {archive(t, file{"package/bin/linux/other/libonnxruntime.so.1", foreign},
			file{"package/bin/linux/this/libonnxruntime.so.1", library}), infer.CPU},
		"release": {archive(t, file{"o/lib/libonnxruntime.so", []byte("-> libonnxruntime.so.1")},
			file{"o/lib/libonnxruntime.so." + version, library}, file{"../../libonnxruntime_providers_cuda.so", stub}),
			infer.CUDA},
		"folder": {folder, infer.CPU},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "runtimes")
			r := infer.RuntimesAt(dir)
			i, err := r.Install(t.Context(), tt.path, infer.Look)
			if err != nil {
				t.Fatal(err)
			}
			if !i.Current || i.Version != version || i.Providers[0] != tt.provider ||
				!strings.HasPrefix(i.Name, version+"-"+tt.provider+"-") {
				t.Errorf("Install = %+v, want %s with %s, current", i, version, tt.provider)
			}
			if again, err := r.Install(t.Context(), tt.path, infer.Look); err != nil || again.Name != i.Name {
				t.Errorf("a second time: %+v, %v", again, err)
			}
			c := cpu
			c.Runtimes = dir
			if got := open(t, c, tiny).Info(); got.Library != filepath.Join(dir, "current", "libonnxruntime.so") ||
				got.Version != version {
				t.Errorf("the agent runs %s %s, not what was installed", got.Library, got.Version)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if err := r.Remove(i.Name); err != nil {
				t.Error(err)
			}
			if all, err := r.List(); err != nil || len(all) != 0 {
				t.Errorf("List after Remove = %v, %v", all, err)
			}
			if err := r.Use(i.Name); err == nil || !strings.Contains(err.Error(), "none is") {
				t.Errorf("Use of what is gone = %v", err)
			}
		})
	}
}

// TestRuntimesRefuse: what will not work is told in words, and nothing is left of it.
func TestRuntimesRefuse(t *testing.T) {
	library, _ := realLibrary(t)
	foreign := otherMachine(library)
	old, err := os.ReadFile(pretender(t, "1.12.0"))
	if err != nil {
		t.Fatal(err)
	}
	whole := wheel(t, file{"onnxruntime/capi/libonnxruntime.so.1", library})
	half, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(t.TempDir(), "torn.whl")
	if err := os.WriteFile(torn, half[:len(half)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(text, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{"/nowhere.whl", "/nowhere.whl is not there"},
		{text, "is no .whl, .tgz, .tar.gz or folder"},
		{torn, "is damaged"},
		{wheel(t, file{"onnxruntime/capi/onnxruntime_pybind11_state.so", library[:100]}),
			"holds no libonnxruntime.so: in some wheels"},
		{wheel(t, file{"x/libonnxruntime.so.1", foreign}), "this machine is " + runtime.GOARCH},
		{archive(t, file{"x/libonnxruntime.so", old}), "ONNX Runtime 1.12.0, too old: 1.16 or newer"},
		{archive(t, file{"x/libonnxruntime.so", []byte("GROUP(libonnxruntime.so.1)")}), "holds no libonnxruntime.so"},
	} {
		dir := t.TempDir()
		_, err := infer.RuntimesAt(dir).Install(t.Context(), tt.path, infer.Look)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), ".incoming") {
			t.Errorf("%s: %v, want %q", tt.path, err, tt.want)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: left %v", tt.path, left)
		}
	}
}

// TestRuntimesOfAnother: as root, a link of another account's leads no verb into a folder of root's.
func TestRuntimesOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not as root: every folder is one's own")
		return
	}
	target, link := t.TempDir(), filepath.Join(t.TempDir(), "runtimes")
	if err := errors.Join(os.Mkdir(filepath.Join(target, "etc"), 0o755), os.Symlink(target, link),
		os.Lchown(link, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	r := infer.RuntimesAt(link)
	_, install := r.Install(t.Context(), t.TempDir(), infer.Look)
	for verb, err := range map[string]error{"install": install, "use": r.Use("etc"), "remove": r.Remove("etc")} {
		if err == nil || !strings.Contains(err.Error(), "sudo -u nobody") {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if left, err := os.ReadDir(target); err != nil || len(left) != 1 {
		t.Errorf("behind the link: %v, %v", left, err)
	}
}
