package atomicfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// place makes what a table asks for, and returns its path.
func place(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func linkTo(t *testing.T, target, path string) string {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFirstLine(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want, fail string }{
		"plain":            {"geheim", "geheim", ""},
		"unix":             {"geheim\nrest", "geheim", ""},
		"windows":          {"geheim\r\nrest", "geheim", ""},
		"byte order mark":  {"\xef\xbb\xbfgeheim\n", "geheim", ""},
		"blanks stay":      {" ge heim \n", " ge heim ", ""},
		"umlauts":          {"gehäim", "gehäim", ""},
		"empty":            {"", "", ""},
		"empty first line": {"\ngeheim", "", ""},
		"UTF-16":           {"\xff\xfeg\x00e\x00", "", "save it as UTF-8"},
		"Latin-1":          {"geh\xe4im", "", "save it as UTF-8"},
		"a NUL":            {"a\x00b", "", "save it as UTF-8"},
		"too large":        {strings.Repeat("x", lineLimit+1), "", "is larger than 65536 bytes"},
	} {
		path := place(t, dir, name, c.text)
		for _, from := range []string{path, linkTo(t, path, filepath.Join(dir, "link to "+name))} {
			got, err := FirstLine(from)
			if c.fail == "" && (err != nil || got != c.want) {
				t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
			}
			if c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)) {
				t.Errorf("%s: got %q, %v, want an error with %q", name, got, err, c.fail)
			}
			if err != nil && (!strings.Contains(err.Error(), from) || strings.Contains(err.Error(), "geh")) {
				t.Errorf("%s: got %q, want the path and nothing of the text", name, err)
			}
		}
	}
}

// What never ends, or never begins, is refused at once, behind a link as well.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe: "is not a file but a pipe",
		linkTo(t, pipe, filepath.Join(dir, "to pipe")): "is not a file but a pipe",
		dir:         "is not a file but a folder",
		"/dev/zero": "is not a file but a device",
		linkTo(t, "loop", filepath.Join(dir, "loop")): "too many levels of symbolic links",
		filepath.Join(dir, "none"):                    "no such file",
	} {
		if text, err := ReadSmall(path, 100); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, %v, want %q", path, text, err, want)
		}
	}
}
