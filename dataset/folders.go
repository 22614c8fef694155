package dataset

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/internal/round"
)

// Folder is a folder of the pictures of one label.
type Folder struct {
	Name     string // the label, or the name of the folder that stands for a new one
	Pictures int
}

// Folders are the labels that somebody has sorted the pictures below dir into, in the order of their
// names; labels are those that a network has. Pictures right in dir have none, folders of one label are one.
func Folders(dir string, labels []string) ([]Folder, error) {
	files, err := Files(dir)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, s := range placesOf(dir, files, labels) {
		if s.depth > 0 {
			count[s.label]++
		}
	}
	all := make([]Folder, 0, len(count))
	for name, n := range count {
		all = append(all, Folder{name, n})
	}
	slices.SortFunc(all, func(a, b Folder) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// place is where one picture lies.
type place struct {
	class int    // index of its label among those that a network has; −1: none
	label string // its name, or that of the folder that stands for one
	depth int    // of its folder below the pictures' own; 0: right in there
	at    int    // depth of the folder that label is from
}

// placesOf says of the pictures below dir which folder is that of their label: the nearest above them that is
// named like a label. Where none is, it is the first below dir, or below a folder that holds folders of
// labels, as train and val do. A picture right in dir has the label that dir is named like.
func placesOf(dir string, paths, labels []string) []place {
	all := make([]place, len(paths))
	holders := map[string]bool{} // folders that hold folders of labels
	above := make([][]string, len(paths))
	for i, path := range paths {
		s := &all[i]
		s.class = -1
		above[i] = foldersAbove(dir, path)
		if s.depth = len(above[i]); s.depth == 0 {
			s.label = folderLabel(filepath.Base(filepath.Dir(path)))
			s.class = ClassOf(filepath.Base(filepath.Dir(path)), labels)
		}
		for at := s.depth; at > 0 && s.class < 0; at-- {
			s.class, s.at = ClassOf(above[i][at-1], labels), at
		}
		if s.class >= 0 {
			s.label = labels[s.class]
			for at := 1; at < s.at; at++ {
				holders[filepath.Join(above[i][:at]...)] = true
			}
		}
	}
	for i := range all {
		s := &all[i]
		if s.class >= 0 || s.depth == 0 {
			continue
		}
		for s.at = 1; s.at < s.depth && holders[filepath.Join(above[i][:s.at]...)]; s.at++ {
		}
		s.label = folderLabel(above[i][s.at-1])
	}
	return all
}

// foldersAbove are the folders between dir and a picture, the outermost first.
func foldersAbove(dir, path string) []string {
	in, err := filepath.Rel(dir, filepath.Dir(path))
	if err != nil || in == "." {
		return nil
	}
	return strings.Split(in, string(filepath.Separator))
}

// folderLabel is the label that FolderOf has written a folder for, or else its name.
func folderLabel(folder string) string {
	if label, ok := LabelOf(folder); ok {
		return label
	}
	return folder
}

// LabelAbove is the index of the label of the nearest folder above a picture below dir that is named like
// one, as List has it; −1: none is.
func LabelAbove(dir, path string, labels []string) int {
	return placesOf(dir, []string{path}, labels)[0].class
}

// deeper tells of pictures that do not lie right in the folder of their label; adding: folders that are
// named like none stand for new ones.
func deeper(dir string, all []place, adding bool) (found []Finding) {
	below, strange := map[string]int{}, map[string]int{}
	for _, s := range all {
		switch {
		case s.depth > s.at && s.class >= 0 && s.at > 0:
			below[s.label]++
		case s.depth > 1 && s.class < 0:
			strange[s.label]++
		}
	}
	if len(below) > 0 {
		n, which := counted(below)
		found = append(found, Finding{Check: "folders", Severity: "warn",
			Evidence: fmt.Sprintf("%d %s in %s %s within that of a label, and %s that label: %s", n,
				pictures(n), dir, round.Plural(n, "lies in a folder", "lie in folders"), round.Plural(n, "has", "have"),
				which),
			Cure: "if that is wrong, put each picture into the folder of its own label"})
	}
	n, which := counted(strange)
	switch {
	case n > 0 && adding:
		found = append(found, Finding{Check: "folders", Severity: "warn",
			Evidence: fmt.Sprintf("%d %s in %s %s more than one folder deep, and none of these is named like a "+
				"label of the network: the outermost was taken for one: %s", n, pictures(n), dir,
				round.Plural(n, "lies", "lie"), which),
			Cure: "if that is wrong, put the folder of each new label right into the one that is given"})
	case n > 0:
		found = append(found, Finding{Check: "folders", Severity: "warn",
			Evidence: fmt.Sprintf("%d %s in %s %s more than one folder deep, and none of these is named like a "+
				"label of the network: %s no label (below %s)", n, pictures(n), dir, round.Plural(n, "lies", "lie"),
				round.Plural(n, "it has", "they have"), which),
			Cure: "name the folders as the labels are"})
	}
	return found
}

func pictures(n int) string { return round.Plural(n, "picture", "pictures") }

// labelsNamed is how many labels a finding counts.
const labelsNamed = 5

// counted is the sum of counts, and the largest of them by name.
func counted(counts map[string]int) (sum int, which string) {
	names := make([]string, 0, len(counts))
	for name, n := range counts {
		sum += n
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	words := make([]string, 0, labelsNamed+1)
	for i, name := range names {
		if i == labelsNamed {
			words = append(words, "…")
			break
		}
		words = append(words, fmt.Sprintf("%d %s", counts[name], name))
	}
	return sum, strings.Join(words, ", ")
}
