package architecture_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)|(?m:^\[[^]]+\]: (\S+)$)`)
	code     = regexp.MustCompile("`([^`\n]+)`")
	fence    = regexp.MustCompile("(?ms)^```.*?^```")
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	repoFile = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)*(/|/[\w.-]+\.(go|c|h|py|sh|md|yaml|json|txt|conf|svg|png|tmpl))$`)
	// foreign begins the names of files that are no part of the repository: made by a command, or a
	// user's.
	foreign = []string{"./", "DIR/", "bad/", "build/", "bin/", "results/gpu-check.", "packages/"}
)

// TestLinks checks that every relative link of the documentation leads to a file, every fragment to
// a heading, and every path of the repository in backticks to a file or a folder.
func TestLinks(t *testing.T) {
	root := "../.."
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "build" || name == "bin" || name == "testdata" ||
			len(name) > 2 && strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case filepath.Ext(file) == ".md":
			checkPage(t, root, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkPage(t *testing.T, root, file string) {
	t.Helper()
	text := read(t, file)
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		target, fragment, _ := strings.Cut(m[1]+m[2], "#")
		if strings.Contains(target, "://") {
			continue
		}
		to := file
		if target != "" {
			to = filepath.Join(filepath.Dir(file), target)
		}
		if !exists(to) {
			t.Errorf("%s links to %s, which is not there", file, m[1]+m[2])
		} else if fragment != "" && !slices.Contains(anchors(read(t, to)), fragment) {
			t.Errorf("%s links to %s, which has no such heading", file, m[1]+m[2])
		}
	}
	for _, m := range code.FindAllStringSubmatch(text, -1) {
		name := m[1]
		other := slices.ContainsFunc(foreign, func(f string) bool { return strings.HasPrefix(name, f) })
		if !repoFile.MatchString(name) || other {
			continue
		}
		if !exists(path.Join(root, name)) && !exists(path.Join(path.Dir(file), name)) {
			t.Errorf("%s names %s, which is not there", file, name)
		}
	}
}

// read returns a page without its blocks of code.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fence.ReplaceAllString(string(text), "")
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// anchors are the fragments of a page's headings, as GitHub makes them.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return all
}
