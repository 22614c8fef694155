package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Limits of labels: each goes with every result.
const (
	labelsBytes = 4 << 20
	labelBytes  = 256
)

// ReadLabels takes a file with one label a line, or the labels themselves with commas between.
// Blanks around a label, empty lines and a byte order mark are no part of it. What looks like JSON,
// CSV or a list with numbers is refused: published as they stand, such lines would be wrong.
func ReadLabels(s string) ([]string, error) {
	info, err := os.Stat(s)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a folder: give a file with one label a line", s)
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", s)
	case err == nil && info.Size() > labelsBytes:
		return nil, fmt.Errorf("%s has %d bytes: it is no list of labels", s, info.Size())
	case err == nil:
		text, err := atomicfile.ReadSmall(s, labelsBytes)
		if err != nil {
			return nil, err
		}
		return labelsOf(s, text)
	case strings.Contains(s, ","):
		labels, places := strings.Split(s, ","), make([]string, 0)
		for i := range labels {
			labels[i] = strings.TrimSpace(labels[i])
			places = append(places, fmt.Sprintf("label %d", i+1))
		}
		return labels, checkLabels(labels, places)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s, and it is not a list with commas", s)
	}
	return nil, err
}

// labelsOf are the lines of a file.
func labelsOf(path string, text []byte) ([]string, error) {
	switch text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")); {
	case bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) ||
		bytes.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("%s is UTF-16 or no text: save it as UTF-8", path)
	case !utf8.Valid(text):
		line := 1 + bytes.Count([]byte(validPart(text)), []byte("\n"))
		return nil, fmt.Errorf("%s: line %d is not UTF-8 (Latin-1?): save the file as UTF-8", path, line)
	case len(bytes.TrimSpace(text)) > 0 && strings.ContainsRune("[{", rune(bytes.TrimSpace(text)[0])):
		return nil, fmt.Errorf("%s looks like JSON or a list in a program: write one label a line", path)
	}
	var labels, places []string
	lines := strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\r", "\n")
	for i, line := range strings.Split(lines, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			labels, places = append(labels, line), append(places, fmt.Sprintf("line %d", i+1))
		}
	}
	if err := looksLike(labels); err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return labels, checkLabels(labels, places)
}

// validPart is the text up to its first byte that is not UTF-8.
func validPart(text []byte) string {
	n := 0
	for n < len(text) {
		r, size := utf8.DecodeRune(text[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return string(text[:n])
}

var (
	indexed = regexp.MustCompile(`^["']?(\d+)["']?(\s*[,;:\t.)=]\s*|\s+)\S`)
	behind  = regexp.MustCompile(`\S\s*[,;\t:= ]\s*(\d+)$`)
	wordNet = regexp.MustCompile(`^n\d{8}[\s,;:]`)
	quoted  = regexp.MustCompile(`^(["']).*(["']),?$`)
)

// looksLike tells what the lines are besides labels.
func looksLike(lines []string) error {
	if len(lines) < 2 {
		return nil
	}
	separators := map[string]bool{";": true, "\t": true, ",": true}
	counts := map[string]int{}
	allQuoted, allWordNet := true, true
	for i, line := range lines {
		allQuoted, allWordNet = allQuoted && quoted.MatchString(line), allWordNet && wordNet.MatchString(line)
		for s := range separators {
			n := strings.Count(line, s)
			if s == "," {
				n -= strings.Count(line, ", ")
			}
			if n == 0 || i > 0 && n != counts[s] {
				delete(separators, s)
			}
			counts[s] = n
		}
	}
	switch {
	case numbered(lines, indexed) || numbered(lines, behind):
		return errors.New("has a number beside each label: write one label a line, in the order of the numbers, " +
			"without them")
	case len(separators) > 0:
		return errors.New("looks like CSV, with several columns: write one label a line")
	case allQuoted:
		return errors.New("has its labels in quotation marks: write one label a line, without them")
	case allWordNet:
		return errors.New("begins each line with a WordNet number: write one label a line, without them")
	}
	return nil
}

// numbered tells whether the lines, but perhaps for a heading, have the numbers from 0, or from 1
// with more than a blank behind them ("1 euro" and "2 euro" are labels).
func numbered(lines []string, pattern *regexp.Regexp) bool {
	if !pattern.MatchString(lines[0]) && len(lines) > 2 {
		lines = lines[1:]
	}
	start := -1
	for i, line := range lines {
		m := pattern.FindStringSubmatch(line)
		if m == nil {
			return false
		}
		n, err := strconv.Atoi(m[1])
		if i == 0 {
			start = n
		}
		blank := pattern == behind || len(m) > 2 && strings.Trim(m[2], " ") == ""
		if err != nil || n != start+i || start > 1 || start == 1 && blank {
			return false
		}
	}
	return true
}

// checkLabels refuses labels that cannot be published or told apart, naming their places.
func checkLabels(labels, places []string) error {
	seen := map[string]int{}
	for i, l := range labels {
		first, twice := seen[l]
		switch {
		case l == "":
			return fmt.Errorf("%s is empty", places[i])
		case !utf8.ValidString(l):
			return fmt.Errorf("%s is not UTF-8", places[i])
		case len(l) > labelBytes:
			return fmt.Errorf("%s has %d bytes, a label has at most %d", places[i], len(l), labelBytes)
		case strings.ContainsFunc(l, unicode.IsControl):
			return fmt.Errorf("%s has a control character in it: %q", places[i], l)
		case twice:
			return fmt.Errorf("%q is %s and %s: labels must differ, so name the second %q", l, places[first], places[i],
				l+" 2")
		}
		seen[l] = i
	}
	return nil
}
