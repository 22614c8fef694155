package dataset

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/camera"
)

// Files lists the files that an argument means: a file as it is, a folder walked for pictures.
func Files(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	if err != nil {
		return nil, fmt.Errorf("%s: no such picture or folder%s", arg, map[string]string{
			"-": ": standard input is not read, save the picture to a file first"}[arg])
	}
	if info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeCharDevice) != 0 {
		return nil, fmt.Errorf("%s: is a pipe or a device: save the picture to a file first", arg)
	}
	if !info.IsDir() {
		return []string{arg}, nil
	}
	files, err := walk(arg, nil, map[string]bool{})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		others := ""
		if n := Others(arg); n != "" {
			others = "; it holds " + n + ", which are not read: convert them to PNG or JPEG"
		}
		return nil, fmt.Errorf("%s: no picture in it (%s)%s", arg, strings.Join(camera.PictureTypes, ", "), others)
	}
	return files, nil
}

// Others counts the files below dir that no picture's ending is on, by their endings, in the order
// of how many there are: pictures of other kinds, perhaps.
func Others(dir string) string {
	count := map[string]int{}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { // what cannot be read has been said
		ending := strings.ToLower(filepath.Ext(path))
		if err == nil && e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") && picturesOfOthers[ending] {
			count[ending]++
		}
		return nil
	})
	endings := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b))
	})
	words := make([]string, len(endings))
	for i, e := range endings {
		words[i] = fmt.Sprintf("%d %s", count[e], e)
	}
	return strings.Join(words, ", ")
}

// picturesOfOthers are the endings of pictures that are not read here.
var picturesOfOthers = map[string]bool{".webp": true, ".tif": true, ".tiff": true, ".gif": true, ".avif": true,
	".heic": true, ".heif": true, ".jp2": true, ".ppm": true, ".pgm": true, ".jfif": true, ".jxl": true, ".svg": true}

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
