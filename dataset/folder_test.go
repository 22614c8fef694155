package dataset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFolder(t *testing.T) {
	for label, want := range map[string]string{
		"bolt-m6": "bolt-m6", "Mutter M8 (verzinkt)": "Mutter M8 (verzinkt)", "Schraube ü": "Schraube ü", "": "%",
		".": "%2E", "..": "%2E%2E", "../x": "%2E.%2Fx", "a/b": "a%2Fb", `a\b`: "a%5Cb", "a\x00b": "a%00b", "50%": "50%25",
		" a ": "%20a%20", ".hidden": "%2Ehidden", "end.": "end%2E", "\xff": "%FF", "a\nb": "a%0Ab", "con:": "con%3A",
		"\u202etxt": "%E2%80%AEtxt",
	} {
		if got := Folder(label); got != want {
			t.Errorf("Folder(%q) = %q, want %q", label, got, want)
		}
		if got, ok := Label(want); !ok || got != label {
			t.Errorf("Label(%q) = %q, %t", want, got, ok)
		}
	}
	for _, folder := range []string{"a%2", "%zz", "%41", "..", ".", "a/b", "%~", "%2e", "%+1"} {
		if label, ok := Label(folder); ok {
			t.Errorf("Label(%q) = %q, but Folder never gives that", folder, label)
		}
	}
	long := strings.Repeat("ü", 150)
	if a, b := Folder(long), Folder(long+"x"); a == b || len(a) > folderLimit || !strings.HasPrefix(a, "üüü") {
		t.Errorf("of 300 bytes: %q and %q", a, b)
	}
	labels := []string{"a/b", long, "50%"}
	for i, folder := range []string{"a%2Fb", Folder(long), "50%"} {
		if got := ClassOf(folder, labels); got != i {
			t.Errorf("ClassOf(%q) = %d, want %d", folder, got, i)
		}
	}
	if got := ClassOf("else", labels); got != -1 {
		t.Errorf("of none: %d", got)
	}
}

// Whatever a label is, its folder can be made below another, and stands for that label alone.
func FuzzFolder(f *testing.F) {
	for _, label := range []string{"", "bolt", "../x", "a\x00", strings.Repeat("x", 300), "%2E", "\xf0\x28"} {
		f.Add(label, label+"%")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := Folder(a), Folder(b)
		if (a == b) != (x == y) {
			t.Errorf("%q and %q have the folders %q and %q", a, b, x, y)
		}
		if x == "" || x[0] == '.' || len(x) > folderLimit || strings.ContainsAny(x, "/\\\x00\n") ||
			!filepath.IsLocal(x) {
			t.Errorf("%q has the folder %q", a, x)
		}
		if label, ok := Label(x); ok != !strings.Contains(x, shortened) || ok && label != a {
			t.Errorf("Label(%q) = %q, %t, want %q", x, label, ok, a)
		}
		if err := os.MkdirAll(filepath.Join(dir, x), 0o700); err != nil {
			t.Errorf("%q: %v", a, err)
		}
		if label, ok := Label(b); ok && Folder(label) != b {
			t.Errorf("%q is the folder of %q, which has another", b, label)
		}
	})
}
