package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFilesOfAManifest: a path stands for one file, and for none that every bundle has.
func TestFilesOfAManifest(t *testing.T) {
	for name, tt := range map[string]struct {
		path, sum string
		want      string
	}{
		"the manifest itself":   {"./model.yaml", strings.Repeat("0", 64), "cannot be a file of a bundle"},
		"the packed sums":       {"SHA256SUMS", strings.Repeat("0", 64), "cannot be a file of a bundle"},
		"an escape in a path":   {"a\x1b[2J", strings.Repeat("0", 64), "cannot be a file of a bundle"},
		"one path, two digests": {"./fp32.onnx", strings.Repeat("0", 64), "has another sha256"},
	} {
		s := testSpec()
		f := s.Files[FileFP32]
		f.Path = "fp32.onnx"
		s.Files[FileFP32] = f
		s.Files["weights"] = File{tt.path, tt.sum, f.Bytes}
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %.200v, want %q", name, err, tt.want)
		}
	}
}

// TestManifestIsAFile: a pipe is refused, not waited for.
func TestManifestIsAFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, SpecFile), 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("got %v", err)
	}
}

// TestNoHoles: a member with holes, or one that claims more than the whole file, writes nothing.
func TestNoHoles(t *testing.T) {
	for name, records := range map[string]map[string]string{
		"1.0": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "fp32.onnx",
			"GNU.sparse.realsize": "4611686018427387904"},
		"0.1": {"GNU.sparse.map": "0,0", "GNU.sparse.size": "4611686018427387904", "GNU.sparse.numblocks": "1"},
	} {
		spec := testSpec()
		f := spec.Files[FileFP32]
		f.Bytes, f.Path = 0, "fp32.onnx"
		spec.Files = map[string]File{FileFP32: f}
		dir := t.TempDir()
		if err := WriteSpec(dir, spec); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, SpecFile))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		head := fmt.Sprintf("%s  %s\n", hexSum(text), SpecFile)
		for _, h := range []struct{ name, text string }{{sumsFile, head}, {SpecFile, string(text)}} {
			if err := add(w, h.name, int64(len(h.text)), strings.NewReader(h.text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		var pax strings.Builder
		for key, value := range records {
			line := fmt.Sprintf(" %s=%s\n", key, value)
			n := len(line) + 2
			if len(fmt.Sprint(n)) > 2 {
				n++
			}
			fmt.Fprintf(&pax, "%d%s", n, line)
		}
		b.Write(rawHeader("paxheader", 'x', pax.Len()))
		b.WriteString(pax.String())
		b.Write(make([]byte, (512-pax.Len()%512)%512))
		b.Write(rawHeader("fp32.onnx", '0', 512))
		b.WriteString("1\n0\n0\n")
		b.Write(make([]byte, 512-6+1024))
		path, to := filepath.Join(dir, "x.vggse"), t.TempDir()
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		source, err := OpenSource(path)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		if err := source.CopyTo(t.Context(), to); err == nil {
			t.Errorf("%s: unpacked", name)
		} else if !strings.Contains(err.Error(), "claims") {
			t.Logf("%s: refused earlier: %v", name, err)
		}
		if left, _ := os.ReadDir(to); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
	if err := tooLarge("fp32.onnx", 4<<60, 10240); err == nil || !strings.Contains(err.Error(), "more than the 10240") {
		t.Errorf("got %v", err)
	}
}

// rawHeader is a USTAR header, which archive/tar does not write for members with holes.
func rawHeader(name string, kind byte, size int) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", size, 0))
	copy(h[148:], "        ")
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// TestFolderNamedByDigest: in a folder that is named by a digest only the manifest of that digest
// opens.
func TestFolderNamedByDigest(t *testing.T) {
	spec := testSpec()
	from := t.TempDir()
	if err := WriteSpec(from, spec); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(from, SpecFile))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), hexSum(text))
	if err := os.Rename(from, dir); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{string(text) + "\n", string(text) + "# a word\n",
		strings.Replace(string(text), spec.Labels[0], spec.Labels[0]+"x", 1)} {
		if err := os.WriteFile(filepath.Join(dir, SpecFile), []byte(change), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "its folder is named") {
			t.Errorf("got %v", err)
		}
	}
	link := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link); err == nil || !strings.Contains(err.Error(), "its folder is named") {
		t.Errorf("through a link: %v", err)
	}
}
