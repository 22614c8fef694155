package architecture

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestLines: no Go line is longer than 120 columns, a tab counting four.
func TestLines(t *testing.T) {
	walk(t, func(path, rel string) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		for n := 1; lines.Scan(); n++ {
			if w := utf8.RuneCountInString(strings.ReplaceAll(lines.Text(), "\t", "    ")); w > 120 {
				t.Errorf("%s:%d has %d columns", rel, n, w)
			}
		}
		return lines.Err()
	})
}
