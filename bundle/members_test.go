package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A member that is no file is said to be none, and nothing of the archive is taken.
func TestMembersThatAreNoFiles(t *testing.T) {
	var packed bytes.Buffer
	if _, err := Pack(t.Context(), "../demo/bundle", &packed); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]byte{"link": tar.TypeSymlink, "hard link": tar.TypeLink, "device": tar.TypeChar,
		"pipe": tar.TypeFifo, "folder": tar.TypeDir} {
		var changed bytes.Buffer
		in, out := tar.NewReader(bytes.NewReader(packed.Bytes())), tar.NewWriter(&changed)
		for h, err := in.Next(); !errors.Is(err, io.EOF); h, err = in.Next() {
			if err != nil {
				t.Fatal(err)
			}
			if h.Name == "fp32.onnx" {
				h.Typeflag, h.Size, h.Linkname = kind, 0, "/etc/passwd"
			}
			if err := out.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				if _, err := io.Copy(out, in); err != nil {
					t.Fatal(err)
				}
			}
		}
		path := filepath.Join(t.TempDir(), "x.vggse")
		if err := errors.Join(out.Close(), os.WriteFile(path, changed.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
		source, err := OpenSource(path)
		if err != nil {
			t.Fatal(err)
		}
		err = source.CopyTo(t.Context(), t.TempDir())
		source.Close()
		if err == nil || !strings.Contains(err.Error(), `"fp32.onnx`) || !strings.Contains(err.Error(), "not a file") {
			t.Errorf("%s: got %v, want that it is not a file", name, err)
		}
	}
}
