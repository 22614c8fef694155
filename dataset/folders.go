package dataset

import (
	"cmp"
	"path/filepath"
	"slices"
)

// Folder is a folder with pictures in it.
type Folder struct {
	Name     string // of the folder itself, not of those above; where FolderOf has written it, the label
	Pictures int
}

// Folders are the names of the folders below dir that have pictures right in them, in their order,
// but not dir itself: the labels that somebody has sorted pictures into. Folders of one name are
// one.
func Folders(dir string) ([]Folder, error) {
	files, err := Files(dir)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, f := range files {
		if in := filepath.Dir(f); in != filepath.Clean(dir) {
			name := filepath.Base(in)
			if label, ok := LabelOf(name); ok {
				name = label
			}
			count[name]++
		}
	}
	all := make([]Folder, 0, len(count))
	for name, n := range count {
		all = append(all, Folder{name, n})
	}
	slices.SortFunc(all, func(a, b Folder) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}
