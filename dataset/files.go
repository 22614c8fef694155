package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggse/vggse-agent/camera"
)

// Files lists the files that the arguments mean: files as they are, folders walked for pictures.
func Files(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, fmt.Errorf("%s: no such picture or folder", arg)
		}
		if !info.IsDir() {
			files = append(files, arg)
			continue
		}
		before := len(files)
		if files, err = walk(arg, files, map[string]bool{}); err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, fmt.Errorf("%s: no picture in it (%s)", arg, strings.Join(camera.PictureTypes, ", "))
		}
	}
	return files, nil
}

// walk appends the pictures under dir to files, in the order of their names. Links to files and
// folders are followed, each folder once; what begins with a dot is no picture of anybody's.
func walk(dir string, files []string, seen map[string]bool) ([]string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	if seen[real] {
		return files, nil
	}
	seen[real] = true
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil: // a link to nothing
		case info.IsDir():
			if files, err = walk(path, files, seen); err != nil {
				return nil, err
			}
		case info.Mode().IsRegular() && camera.IsPicture(path):
			files = append(files, path)
		}
	}
	return files, nil
}
