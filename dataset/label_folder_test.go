package dataset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFolderOf(t *testing.T) {
	for label, want := range map[string]string{
		"bolt-m6": "bolt-m6", "Mutter M8 (verzinkt)": "Mutter M8 (verzinkt)", "Schraube ü": "Schraube ü", "": "%",
		".": "%2E", "..": "%2E%2E", "../x": "%2E.%2Fx", "a/b": "a%2Fb", `a\b`: "a%5Cb",
		"a\x00b": "a%00b", "50%": "50%25",
		" a ": "%20a%20", ".hidden": "%2Ehidden", "end.": "end%2E", "\xff": "%FF", "a\nb": "a%0Ab", "con:": "con%3A",
		"\u202etxt": "%E2%80%AEtxt",
	} {
		if got := FolderOf(label); got != want {
			t.Errorf("FolderOf(%q) = %q, want %q", label, got, want)
		}
		if got, ok := LabelOf(want); !ok || got != label {
			t.Errorf("LabelOf(%q) = %q, %t", want, got, ok)
		}
	}
	for _, folder := range []string{"a%2", "%zz", "%41", "..", ".", "a/b", "%~", "%2e", "%+1"} {
		if label, ok := LabelOf(folder); ok {
			t.Errorf("LabelOf(%q) = %q, but FolderOf never gives that", folder, label)
		}
	}
	long := strings.Repeat("ü", 150)
	if a, b := FolderOf(long), FolderOf(long+"x"); a == b || len(a) > folderLimit || !strings.HasPrefix(a, "üüü") {
		t.Errorf("of 300 bytes: %q and %q", a, b)
	}
	labels := []string{"a/b", long, "50%"}
	for i, folder := range []string{"a%2Fb", FolderOf(long), "50%"} {
		if got := ClassOf(folder, labels); got != i {
			t.Errorf("ClassOf(%q) = %d, want %d", folder, got, i)
		}
	}
	if got := ClassOf("Mu\u0308ller", []string{"a", "M\u00fcller"}); got != 1 {
		t.Errorf("of a folder with decomposed accents: %d, want 1", got)
	}
	if got := ClassOf("else", labels); got != -1 {
		t.Errorf("of none: %d", got)
	}
}

// Whatever a label is, its folder can be made below another, and stands for that label alone.
func FuzzFolderOf(f *testing.F) {
	for _, label := range []string{"", "bolt", "../x", "a\x00", strings.Repeat("x", 300), "%2E", "\xf0\x28"} {
		f.Add(label, label+"%")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := FolderOf(a), FolderOf(b)
		if (a == b) != (x == y) {
			t.Errorf("%q and %q have the folders %q and %q", a, b, x, y)
		}
		if x == "" || x[0] == '.' || len(x) > folderLimit || strings.ContainsAny(x, "/\\\x00\n") ||
			!filepath.IsLocal(x) {
			t.Errorf("%q has the folder %q", a, x)
		}
		if label, ok := LabelOf(x); ok != !strings.Contains(x, shortened) || ok && label != a {
			t.Errorf("LabelOf(%q) = %q, %t, want %q", x, label, ok, a)
		}
		if err := os.MkdirAll(filepath.Join(dir, x), 0o700); err != nil {
			t.Errorf("%q: %v", a, err)
		}
		if label, ok := LabelOf(b); ok && FolderOf(label) != b {
			t.Errorf("%q is the folder of %q, which has another", b, label)
		}
	})
}

// A folder that was named for a label is that label's for teach, calibrate and evaluate.
func TestFoldersOfLabels(t *testing.T) {
	dir := t.TempDir()
	for _, label := range []string{"a/b", "nut"} {
		folder := filepath.Join(dir, FolderOf(label))
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "1.png"), []byte(label), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	folders, err := Folders(dir, []string{"nut"})
	if err != nil || len(folders) != 2 || folders[0] != (Folder{"a/b", 1}) || folders[1] != (Folder{"nut", 1}) {
		t.Errorf("folders: %+v, %v", folders, err)
	}
	pictures, _, err := List(t.Context(), dir, []string{"nut", "a/b"})
	if err != nil || len(pictures) != 2 {
		t.Fatalf("pictures: %+v, %v", pictures, err)
	}
	for _, p := range pictures {
		if want := map[string]int{"nut": 0, "a%2Fb": 1}[filepath.Base(filepath.Dir(p.Path))]; p.Label != want {
			t.Errorf("%s has the label %d, want %d", p.Path, p.Label, want)
		}
	}
}
