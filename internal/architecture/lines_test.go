package architecture

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestLines: no Go line is longer than 120 columns, a tab counting four.
func TestLines(t *testing.T) {
	const root, most = "../..", 120
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel != "." && skipped(rel) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		for n := 1; lines.Scan(); n++ {
			if w := utf8.RuneCountInString(strings.ReplaceAll(lines.Text(), "\t", "    ")); w > most {
				t.Errorf("%s:%d has %d columns", rel, n, w)
			}
		}
		return lines.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}
