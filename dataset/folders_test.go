package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// laid makes files of different content.
func laid(t *testing.T, names ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "pictures")
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A picture has the label of the nearest folder above it that is named like one; where none is, the
// outermost stands for a new one. That is told with counts.
func TestDeepFolders(t *testing.T) {
	for _, tt := range []struct {
		name, folders string            // with a picture right in each
		labels        map[string]string // of folders, as List has them; "": none
		new           string            // labels that Folders has beyond those
		told, taught  []string          // what findings of List and ListTaught say
	}{
		{"flat", "nut bolt", map[string]string{"nut": "nut", "bolt": "bolt"}, "", nil, nil},
		{"deep", "nut nut/a nut/a/b bolt/2026", map[string]string{"nut": "nut", "nut/a": "nut", "nut/a/b": "nut",
			"bolt/2026": "bolt"}, "", []string{"3 pictures", "2 nut, 1 bolt"}, []string{"3 pictures", "2 nut, 1 bolt"}},
		{"nearest", "nut/bolt/x bolt/nut", map[string]string{"nut/bolt/x": "bolt", "bolt/nut": "nut"}, "",
			[]string{"1 picture in", "1 bolt"}, []string{"1 picture in", "1 bolt"}},
		{"split", "train/nut train/bolt/x val/nut", map[string]string{"train/nut": "nut", "train/bolt/x": "bolt",
			"val/nut": "nut"}, "", []string{"1 bolt"}, []string{"1 bolt"}},
		{"none", "pin/x/y pin washer", map[string]string{"pin/x/y": "", "pin": "", "washer": ""}, "pin washer",
			[]string{"1 picture in", "no label", "below 1 pin"}, []string{"1 picture in", "taken for one: 1 pin"}},
		{"new in a split", "train/nut train/pin/x", map[string]string{"train/nut": "nut", "train/pin/x": ""}, "pin",
			[]string{"it has no label"}, []string{"taken for one: 1 pin"}},
		{"new named again", "washer pin/washer", map[string]string{"washer": "", "pin/washer": ""}, "pin washer",
			[]string{"below 1 pin"}, []string{"taken for one: 1 pin"}},
		{"accents", "Mu\u0308ller/x", map[string]string{"Mu\u0308ller/x": "M\u00fcller"}, "", []string{"1 M\u00fcller"},
			[]string{"1 M\u00fcller"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			labels := []string{"bolt", "nut", "M\u00fcller"}
			folders := strings.Fields(tt.folders)
			files := make([]string, len(folders))
			for i, f := range folders {
				files[i] = f + "/1.png"
			}
			dir := laid(t, files...)
			pictures, found, err := List(t.Context(), dir, labels)
			if err != nil || len(pictures) != len(files) {
				t.Fatalf("%v, %v", pictures, err)
			}
			got := map[string]string{}
			for _, p := range pictures {
				in, _ := filepath.Rel(dir, filepath.Dir(p.Path))
				if got[in] = ""; p.Label >= 0 {
					got[in] = labels[p.Label]
				}
				if above := LabelAbove(dir, p.Path, labels); above != p.Label {
					t.Errorf("LabelAbove(%s) = %d, not %d", p.Path, above, p.Label)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.labels) {
				t.Errorf("labels %v, want %v", got, tt.labels)
			}
			says(t, found, tt.told)
			all, err := Folders(dir, labels)
			if err != nil {
				t.Fatal(err)
			}
			taught(t, dir, all, labels, strings.Fields(tt.new), tt.taught)
		})
	}
}

// taught holds what teach sees against what Folders has told: each label has as many pictures.
func taught(t *testing.T, dir string, folders []Folder, labels, added, told []string) {
	t.Helper()
	pictures, found, err := ListTaught(t.Context(), dir, labels, added)
	if err != nil {
		t.Fatal(err)
	}
	count, want := map[string]int{}, map[string]int{}
	for _, p := range pictures {
		count[append(labels[:len(labels):len(labels)], added...)[p.Label]]++
	}
	for _, f := range folders {
		want[f.Name] = f.Pictures
	}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("taught %v, of folders %v", count, want)
	}
	says(t, found, told)
}

func says(t *testing.T, found []Finding, want []string) {
	t.Helper()
	if (len(found) == 0) != (len(want) == 0) || len(found) > 1 {
		t.Errorf("found %v, want one with %q", found, want)
		return
	}
	for _, w := range want {
		if !strings.Contains(found[0].Evidence, w) {
			t.Errorf("found %q, want %q", found[0].Evidence, w)
		}
	}
}

// Pictures right in the folder that is given have the label that it is named like.
func TestLabelOfTheFolderItself(t *testing.T) {
	dir := laid(t, "1.png", "x/2.png")
	pictures, found, err := List(t.Context(), dir, []string{"else", "pictures"})
	if err != nil || len(pictures) != 2 || len(found) != 0 {
		t.Fatalf("%v, %v, %v", pictures, found, err)
	}
	for _, p := range pictures {
		if want := map[string]int{"1.png": 1, "2.png": -1}[filepath.Base(p.Path)]; p.Label != want {
			t.Errorf("%s has the label %d, want %d", p.Path, p.Label, want)
		}
	}
}

// One picture lies, several lie.
func TestOnePictureAndSeveral(t *testing.T) {
	for name, want := range map[string]string{
		"nut/2026/1.png": "1 picture in %s lies in a folder within that of a label, and has that label: 1 nut",
		"else/2026/1.png": "1 picture in %s lies more than one folder deep, and none of these is named like a label " +
			"of the network: it has no label (below 1 else)",
	} {
		dir := laid(t, name)
		_, found, err := List(t.Context(), dir, []string{"nut"})
		if err != nil {
			t.Fatal(err)
		}
		says(t, found, []string{fmt.Sprintf(want, dir)})
	}
	_, _, _, err := Split([]Picture{{Path: "a"}}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "1 different picture cannot") {
		t.Errorf("one to divide: %v", err)
	}
}
