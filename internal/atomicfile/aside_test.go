package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKilledWriter: while a file is written it has no name, so that nothing is left of it where the
// process is killed, whether there was one before or not.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	probe, ok := unnamed(dir)
	if !ok {
		t.Skip("this file system makes no files without a name")
	}
	probe.Close()
	path := filepath.Join(dir, "file")
	for _, want := range []string{"", "file"} {
		err := WriteFile(path, func(w io.Writer) error {
			_, err := io.WriteString(w, "content")
			if got := names(t, dir); got != want {
				t.Errorf("while it is written the folder holds %q, want %q", got, want)
			}
			return err
		})
		if got := names(t, dir); err != nil || got != "file" {
			t.Errorf("got %v, and the folder holds %q", err, got)
		}
	}
}

// TestNamedWriter: a file system that makes no files without a name gets one aside, which goes as
// well where writing fails.
func TestNamedWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, c := range []struct {
		fails error
		want  string
	}{{errors.New("no"), ""}, {nil, "file"}, {errors.New("no"), "file"}, {nil, "file"}} {
		err := replace(path, 0o640, func(w io.Writer) error {
			if !strings.Contains(names(t, dir), ".file"+unfinished) {
				t.Errorf("while it is written the folder holds %q", names(t, dir))
			}
			_, err := io.WriteString(w, "content")
			return errors.Join(err, c.fails)
		}, func(string) (*os.File, bool) { return nil, false })
		if got := names(t, dir); !errors.Is(err, c.fails) || got != c.want {
			t.Errorf("got %v, and the folder holds %q, want %q", err, got, c.want)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 || info.Size() != 7 {
		t.Errorf("got %v, %v", info, err)
	}
}

// TestWhatWasKilledIsSwept: what a killed process has left goes at the next writing, in files and
// folders; what somebody still holds stays, and so does what only looks like it.
func TestWhatWasKilledIsSwept(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{
		".a" + unfinished + "1":            time.Hour,
		".b" + unfinished + "2/fp32.onnx":  time.Hour,
		".young" + unfinished + "3":        0,
		".held" + unfinished + "4":         time.Hour,
		".heldfolder" + unfinished + "5/x": time.Hour,
		"visible" + unfinished + "6":       time.Hour,
		".a.2024/mine":                     time.Hour,
		".a.123456":                        time.Hour,
	} {
		path := filepath.Join(dir, name)
		then := time.Now().Add(-age)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600),
			os.Chtimes(path, then, then)); err != nil {
			t.Fatal(err)
		}
		if up := filepath.Dir(path); up != dir {
			if err := os.Chtimes(up, then, then); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{".held" + unfinished + "4", ".heldfolder" + unfinished + "5"} {
		fd, err := unix.Open(filepath.Join(dir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		hold(fd)
	}
	linkTo(t, filepath.Join(dir, ".a.2024"), filepath.Join(dir, ".link"+unfinished+"7"))
	if err := WriteFile(filepath.Join(dir, "other"), write("x", nil)); err != nil {
		t.Fatal(err)
	}
	want := []string{".a.123456", ".a.2024", ".held" + unfinished + "4", ".heldfolder" + unfinished + "5",
		".link" + unfinished + "7", ".young" + unfinished + "3", "other", "visible" + unfinished + "6"}
	if got := strings.Fields(names(t, dir)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestHeldAside: a folder that is being filled is nobody's leftover, however long that takes.
func TestHeldAside(t *testing.T) {
	dir := t.TempDir()
	folder, err := MakeAside(filepath.Join(dir, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(folder, then, then); err != nil {
		t.Fatal(err)
	}
	removeUnfinished(dir)
	if got := names(t, dir); got != filepath.Base(folder) {
		t.Errorf("the folder holds %q, want %q", got, filepath.Base(folder))
	}
}
