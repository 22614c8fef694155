package dataset

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// answered are ten pictures of each of n folders, which the network answers as guess says.
func answered(n int, guess func(class, picture int) int) []Summary {
	var all []Summary
	for class := range n {
		for i := range 10 {
			all = append(all, Summary{Class: class, Guess: guess(class, i)})
		}
	}
	return all
}

func TestLabelsInAnotherOrderAreFound(t *testing.T) {
	labels := []string{"bolt", "gear", "nut", "washer"}
	swapped := []int{1, 0, 2, 3}
	for name, c := range map[string]struct {
		summaries []Summary
		want      string // "": nothing odd
	}{
		"right":        {answered(4, func(class, _ int) int { return class }), ""},
		"moved by one": {answered(4, func(class, _ int) int { return (class + 1) % 4 }), "bolt is answered as gear"},
		"reversed":     {answered(4, func(class, _ int) int { return 3 - class }), "washer is answered as bolt"},
		"moved, some wrong": {answered(4, func(class, i int) int { return (class + 1 + i/8) % 4 }),
			"nut is answered as washer"},
		"two are alike": {answered(4, func(class, i int) int {
			if i < 4 {
				return swapped[class]
			}
			return class
		}), ""},
		"always one": {answered(4, func(_, _ int) int { return 2 }), ""},
		"noise":      {answered(4, func(_, i int) int { return i % 4 }), ""},
		"no labels":  {[]Summary{{Class: -1, Guess: 1}}, ""},
	} {
		found := LabelOrder(c.summaries, labels)
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: got %v, want nothing", name, found)
		case c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Evidence, c.want)):
			t.Errorf("%s: got %v, want …%s…", name, found, c.want)
		}
	}
}

func TestFilesFollowsLinksAndLeavesHiddenFiles(t *testing.T) {
	real, dir := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(real, "nut"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.png", "._a.png", "nut/b.png", "nut/.hidden.jpg"} {
		if err := os.WriteFile(filepath.Join(real, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"root": real, "loop": dir, "gone.png": "/nowhere/x.png"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, arg := range []string{filepath.Join(dir, "root"), dir} {
		root := filepath.Join(dir, "root")
		want := []string{filepath.Join(root, "a.png"), filepath.Join(root, "nut", "b.png")}
		if got, err := Files(arg); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", arg, got, err, want)
		}
		if left := LeftOut(arg); left != nil {
			t.Errorf("%s: %+v left out", arg, left)
		}
	}
}

func TestADamagedPictureDoesNotEndTheOthers(t *testing.T) {
	dir := t.TempDir()
	for i := range 12 {
		var b bytes.Buffer
		m := image.NewGray(image.Rect(0, 0, 8+i, 8))
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.png", i)), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("bad.png", "no picture")
	good, found, err := ListReadable(t.Context(), dir, nil)
	if err != nil || len(good) != 12 || len(found) != 1 || !strings.Contains(found[0].Evidence, "bad.png") {
		t.Errorf("got %d pictures, %v, %v, want 12 and bad.png named", len(good), found, err)
	}
	for _, name := range []string{"cut.png", "empty.png"} {
		write(name, "\xff\xd8\xff\xe0"+name)
	}
	if _, _, err = ListReadable(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), "3 of 15") {
		t.Errorf("got %v, want 3 of 15 refused", err)
	}
}

// Where every folder has its row, the right order is named.
func TestTheRightOrderIsNamed(t *testing.T) {
	found := LabelOrder(answered(4, func(class, _ int) int { return (class + 1) % 4 }),
		[]string{"bolt", "gear", "nut", "washer"})
	if len(found) != 1 || !strings.Contains(found[0].Cure, "--labels washer,bolt,gear,nut)") {
		t.Errorf("%+v", found)
	}
}

// Pictures of kinds that are not read are counted, not passed over in silence.
func TestOtherKindsAreCounted(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.webp", "b.WEBP", "c.tif", "notes.txt", ".d.webp"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Files(dir); err == nil || !strings.Contains(err.Error(), "it holds 2 .webp, 1 .tif") {
		t.Errorf("Files: %v", err)
	}
	f, err := os.Create(filepath.Join(dir, "e.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if files, err := Files(dir); len(files) != 1 || err != nil {
		t.Errorf("Files: %q, %v", files, err)
	}
	if _, err := Files(dir + "/none.png"); err == nil || !strings.Contains(err.Error(), "no such picture") {
		t.Errorf("Files: %v", err)
	}
	pictures, found, err := List(t.Context(), dir, nil)
	if err != nil || len(pictures) != 1 || len(found) != 1 || found[0].Check != "other files" ||
		!strings.Contains(found[0].Evidence, "2 .webp, 1 .tif") {
		t.Errorf("List: %v, %+v, %v", pictures, found, err)
	}
}
