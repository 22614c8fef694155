package samples

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// reviewed is a folder of three samples, and the review of it.
func reviewed(t *testing.T) (*Folder, *Review, []string) {
	t.Helper()
	f, err := Open(Config{Dir: t.TempDir(), Bytes: 1 << 20, Count: 3})
	if err != nil {
		t.Fatal(err)
	}
	var picture vision.Frame
	picture.Resize(4, 4)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 3 {
		d := decision(at.Add(time.Duration(i)*time.Second), "bolt", 0.5+float32(i)/10)
		if err := f.Save(d, &picture, "uncertain", "abc"); err != nil {
			t.Fatal(err)
		}
	}
	r, err := (&Recorder{folder: f}).Review()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	listed, err := r.List()
	if err != nil || len(listed) != 3 || listed[0].Top[0].Score != 0.7 || listed[0].Camera != "line1-left" ||
		listed[2].Time != at || listed[0].Marked {
		t.Fatalf("listed: %+v, %v", listed, err)
	}
	return f, r, []string{listed[0].Name, listed[1].Name, listed[2].Name}
}

func text(label string) *string { return &label }

// A sample goes into the folder of its right label and back, whatever the label is, and never out of
// the folder.
func TestMark(t *testing.T) {
	f, r, names := reviewed(t)
	dir := f.cfg.Dir
	for label, folder := range map[string]string{"nut": "nut", "../../x": "%2E./../x", "a\x00b": "a%00b", "": "%"} {
		folder = strings.ReplaceAll(folder, "%2E./../x", "%2E.%2F..%2Fx")
		if n, err := r.Mark(names[:2], text(label)); n != 2 || err != nil {
			t.Fatalf("%q: %d, %v", label, n, err)
		}
		for _, name := range names[:2] {
			for _, ending := range []string{".png", ".json"} {
				if _, err := os.Stat(filepath.Join(dir, folder, name+ending)); err != nil {
					t.Errorf("%q: %v", label, err)
				}
			}
		}
		listed, err := r.List()
		if err != nil || len(listed) != 3 || !listed[0].Marked || listed[0].Right != label || listed[2].Marked ||
			listed[0].Top[0].Label != "bolt" {
			t.Errorf("%q: %+v, %v", label, listed, err)
		}
	}
	if len(f.kept) != 1 || f.bytes != f.kept[0].bytes {
		t.Errorf("%d samples with %d bytes count for the bounds, want the one that is left", len(f.kept), f.bytes)
	}
	if n, err := r.Mark(names, nil); n != 3 || err != nil || len(f.kept) != 3 || f.kept[2].name != names[0] {
		t.Errorf("back: %d, %v, %v", n, err, f.kept)
	}
	for _, name := range []string{"../" + names[0], "nut/" + names[0], "", "mine"} {
		if _, err := r.Mark([]string{name}, text("x")); !errors.Is(err, ErrNoSample) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := r.Picture(name); !errors.Is(err, ErrNoSample) {
			t.Errorf("%q: %v", name, err)
		}
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "pin")); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Mark(names[:1], text("pin")); n != 0 || err == nil {
		t.Errorf("through a link to elsewhere: %d, %v", n, err)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
		t.Errorf("elsewhere: %v, %v", left, err)
	}
	if listed, err := r.List(); err != nil || len(listed) != 3 || listed[0].Marked {
		t.Errorf("after that: %+v, %v", listed, err)
	}
}

func TestDelete(t *testing.T) {
	f, r, names := reviewed(t)
	if err := os.WriteFile(filepath.Join(f.cfg.Dir, "mine.png"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Delete([]string{names[1], "mine"}); n != 1 || !errors.Is(err, ErrNoSample) {
		t.Errorf("deleted %d, %v", n, err)
	}
	if _, err := os.Stat(filepath.Join(f.cfg.Dir, names[1]+".json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the story: %v", err)
	}
	if listed, err := r.List(); err != nil || len(listed) != 2 || len(f.kept) != 2 {
		t.Errorf("left: %+v, %v", listed, err)
	}
}

func TestZip(t *testing.T) {
	_, r, names := reviewed(t)
	if _, err := r.Mark(names[:1], text("a/b")); err != nil {
		t.Fatal(err)
	}
	for all, want := range map[bool]int{false: 2, true: 6} {
		var b bytes.Buffer
		if err := r.Zip(&b, all); err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil || len(z.File) != want {
			t.Fatalf("all %t: %d files, %v, want %d", all, len(z.File), err, want)
		}
		first := "a%2Fb/" + names[0]
		if got := z.File[0].Name + " " + z.File[1].Name; got != first+".png "+first+".json" {
			t.Errorf("files: %s", got)
		}
	}
}
