package bundle

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldenBundle is a bundle with a second file, which absent.txt may excuse.
func goldenBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	f, err := WriteFile(t.Context(), dir, "golden.safetensors", &bytes.Buffer{}, writeText("pictures"))
	if err != nil {
		t.Fatal(err)
	}
	s := testSpec()
	s.Files[FileGolden] = f
	put(t, dir, "fp32.onnx", weights)
	if err := WriteSpec(dir, s); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAbsentFiles: a file that absent.txt names may be missing, is named then, and travels as
// missing through a packed file.
func TestAbsentFiles(t *testing.T) {
	dir := goldenBundle(t)
	put(t, dir, AbsentFile, "golden\n")
	if b, err := Open(dir); err != nil || len(b.Absent) != 0 || len(b.Spec.Files) != 2 {
		t.Fatalf("a file that is there is absent: %+v, %v", b, err)
	}
	remove(t, dir, "golden.safetensors")
	put(t, dir, StatementFile, "{}")
	put(t, dir, SignatureFile, "sig")
	var packed bytes.Buffer
	sum, err := Pack(t.Context(), dir, &packed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.vggse")
	if err := os.WriteFile(file, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, file} {
		source, err := OpenSource(path)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		to := t.TempDir()
		if err := source.CopyTo(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		b, err := Open(to)
		if err != nil || !slices.Equal(b.Absent, []string{FileGolden}) || len(b.Spec.Files) != 1 {
			t.Errorf("%s: got %+v, %v", path, b, err)
		}
		if got, _ := Digest(to); got != sum {
			t.Errorf("%s: digest %s, want %s", path, got, sum)
		}
		if _, err := b.Path(FileGolden); err == nil || !strings.Contains(err.Error(), "was left out") {
			t.Errorf("%s: got %v", path, err)
		}
		if st, sig, err := ReadStatement(to); string(st) != "{}" || string(sig) != "sig" || err != nil {
			t.Errorf("%s: statement %q, %q, %v", path, st, sig, err)
		}
	}
}

func TestAbsentRefuses(t *testing.T) {
	dir := goldenBundle(t)
	remove(t, dir, "golden.safetensors")
	for text, want := range map[string]string{
		"":                          "golden.safetensors is missing",
		"fp33":                      `"fp33" is no key of files`,
		strings.Repeat("x ", 70000): "is larger than",
	} {
		put(t, dir, AbsentFile, text)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", text, err, want)
		}
	}
}

func writeText(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}
