package importer

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
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
		return nil, fmt.Errorf("%s is a pipe or a device: write the labels into a file first, one a line", s)
	case err == nil && info.Size() > labelsBytes:
		return nil, fmt.Errorf("%s has %d bytes: it is no list of labels", s, info.Size())
	case err == nil:
		text, err := atomicfile.ReadSmall(s, labelsBytes)
		if err != nil {
			return nil, err
		}
		return labelsOf(s, text)
	case strings.Contains(s, ","):
		if strings.ContainsRune("[{(", rune(s[0])) {
			return nil, fmt.Errorf("%s stands in brackets: write a,b,c", s)
		}
		labels, places := strings.Split(s, ","), make([]string, 0)
		for i := range labels {
			labels[i] = strings.TrimFunc(labels[i], blank)
			places = append(places, fmt.Sprintf("label %d", i+1))
		}
		if err := looksLike(labels); err != nil {
			return nil, fmt.Errorf("%s %w", s, err)
		}
		return labels, checkLabels(labels, places)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s, and it is not a list with commas", s)
	}
	return nil, err
}

// labelsOf are the lines of a file.
func labelsOf(path string, text []byte) ([]string, error) {
	if format := document(text); format != "" {
		return nil, fmt.Errorf("%s is %s: save it as plain text, one label a line", path, format)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	valid, what := utf8.Valid(text), ""
	if !valid {
		what = onnx.NotModel(text[:min(len(text), 512)])
	}
	switch {
	case what != "":
		return nil, fmt.Errorf("%s is %s", path, what)
	case bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) ||
		bytes.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("%s is UTF-16 or no text: save it as UTF-8", path)
	case !valid && noText(text):
		return nil, fmt.Errorf("%s is no text: give a file with one label a line", path)
	case !valid:
		line := 1 + bytes.Count([]byte(validPart(text)), []byte("\n"))
		return nil, fmt.Errorf("%s: line %d is not UTF-8 (Latin-1?): save the file as UTF-8", path, line)
	}
	if what := onnx.StandIn(text); what != "" {
		return nil, fmt.Errorf("%s is %s", path, what)
	}
	if kind := fileKind(bytes.TrimSpace(text)); kind != "" {
		return nil, fmt.Errorf("%s looks like %s: write one label a line", path, kind)
	}
	var labels, places []string
	lines := strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\r", "\n")
	for i, line := range strings.Split(lines, "\n") {
		if line = strings.TrimFunc(line, blank); line != "" {
			labels, places = append(labels, line), append(places, fmt.Sprintf("line %d", i+1))
		}
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("%s has no labels in it: write one a line", path)
	}
	if err := looksLike(labels); err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return labels, checkLabels(labels, places)
}

// document names the format of a file that a program of an office has written, "" of any other.
func document(text []byte) string {
	for start, format := range map[string]string{
		"{\\rtf": "rich text (RTF)", "PK\x03\x04": "a spreadsheet or an archive",
		"\xd0\xcf\x11\xe0": "a spreadsheet or a document", "%PDF": "a PDF",
	} {
		if bytes.HasPrefix(text, []byte(start)) {
			return format
		}
	}
	return ""
}

// noText tells whether a file is no text in any encoding.
func noText(text []byte) bool {
	return bytes.ContainsFunc(text[:min(len(text), 4096)], func(r rune) bool {
		return r < ' ' && !unicode.IsSpace(r) && r != '\x1a'
	})
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

// invisible are the characters that no eye tells a label by: byte order marks, blanks of no width,
// marks of direction, hyphens that show at the end of a line only, separators of lines.
var invisible = &unicode.RangeTable{R16: []unicode.Range16{{Lo: 0xad, Hi: 0xad, Stride: 1},
	{Lo: 0x61c, Hi: 0x61c, Stride: 1}, {Lo: 0x180e, Hi: 0x180e, Stride: 1}, {Lo: 0x200b, Hi: 0x200f, Stride: 1},
	{Lo: 0x2028, Hi: 0x202e, Stride: 1}, {Lo: 0x2060, Hi: 0x2069, Stride: 1}, {Lo: 0xfeff, Hi: 0xfeff, Stride: 1}},
	LatinOffset: 1}

// joins reports whether an invisible character makes another sign of its neighbours, as in Persian
// and among emoji.
func joins(r rune) bool { return r == '\u200c' || r == '\u200d' }

// blank is what is around a label and no part of it, the end of a file of DOS among it.
func blank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(invisible, r) || r == '\x1a' }

var (
	indexed  = regexp.MustCompile(`^["'#(\[<]*(\d+)["')\]>]*(\s*(?:->|[,;:\t./)=|→⇒：，、；．）])\s*|\s+)(\S.*)`)
	prefixed = regexp.MustCompile(`^[A-Za-z_]+[ _]?(\d+)\s*(->|[;:\t=|→：])\s*(\S.*)`)
	behind   = regexp.MustCompile(`^(.*\S)\s*[,;\t:=|# →：，(\[<]\s*(\d+)[)\]>]?,?$`)
	counted  = regexp.MustCompile(`^(.*\pL.*?)\s*[:=,;|\t]\s*\d+(?:\.\d+)?(?:e[-+]?\d+)?\s*%?,?$`)
	wordNet  = regexp.MustCompile(`^n\d{8}[\s,;:]`)
	quoted   = regexp.MustCompile("^[\"'`“”„‘’«‹].*[\"'`“”‘’»›],?$")
	bullet   = regexp.MustCompile(`^[-*+•·–—>│├└─]+\s+\S`)
	lettered = regexp.MustCompile(`^[(\[]?([A-Za-z]|[ivxIVX]+)[.:)\]]\s+\S`)
	assigned = regexp.MustCompile(`(?m)^[\w-]+:\s*$|[\[{]\s*$|[=:]\s*[\[{].*[\]}]\s*$|=\s*\(\s*$|` +
		`^\s*\w+\s*\{.*[:=].*\}\s*[,;]?\s*$`)
	tagged   = regexp.MustCompile(`^<[A-Za-z/!?]`)
	marked   = regexp.MustCompile(`<(?:br|hr|/?(?:p|li|ul|ol|td|tr|th|div|span|option|label))\b[^>]*>`)
	pathLike = regexp.MustCompile(`^(?:\.{0,2}/|[A-Za-z]:\\)\S|\S[/\\]$`)
	apart    = regexp.MustCompile(`\S\s{2,}\S`) // columns of a table that blanks fill up
)

// fileKind says what else than a list of labels a text looks like, "" where it may be one.
func fileKind(text []byte) string {
	switch {
	case tagged.Match(text):
		return "HTML or XML"
	case len(text) > 0 && strings.ContainsRune("[{", rune(text[0])):
		return "JSON or a list in a program"
	case assigned.Match(text):
		return "a program or a configuration"
	}
	return ""
}

// looksLike tells what the lines are besides labels.
func looksLike(original []string) error {
	if len(original) == 1 && strings.ContainsAny(original[0], ",;|\t ") {
		return fmt.Errorf("has one line, %q: write one label a line", original[0])
	}
	if len(original) < 2 {
		return nil
	}
	lines := make([]string, len(original)) // digits and marks of full width are digits and marks
	for i, l := range original {
		lines[i] = width.Fold.String(l)
	}
	all := func(p *regexp.Regexp) bool {
		return !slices.ContainsFunc(lines, func(l string) bool { return !p.MatchString(l) })
	}
	rest := func(p *regexp.Regexp) bool { // all, but perhaps for a heading
		heading := len(lines) > 2
		return all(p) || heading &&
			!slices.ContainsFunc(lines[1:], func(l string) bool { return !p.MatchString(l) })
	}
	switch {
	case numbered(lines, indexed) || numbered(lines, prefixed) || numbered(lines, behind):
		return errors.New("has a number beside each label: write one label a line, in the order of the numbers, " +
			"without them")
	case all(apart), columns(lines):
		return errors.New("looks like CSV, with several columns: write one label a line")
	case all(pathLike):
		return errors.New("has paths for labels: write the names of the folders alone")
	case withCounts(lines), withScores(lines, scoreLast), withScores(lines, scoreFirst):
		return errors.New("has a number beside each label, as of a score or a count: write one label a line, " +
			"without it")
	case listed(lines):
		return errors.New("has a comma or semicolon behind its labels: write one label a line, without it")
	case rest(quoted):
		return errors.New("has its labels in quotation marks: write one label a line, without them")
	case rest(wordNet):
		return errors.New("begins each line with a WordNet number: write one label a line, without them")
	case rest(bullet), inSequence(lines):
		return errors.New("has a mark before each label: write one label a line, without it")
	case all(marked):
		return errors.New("has marks of HTML in its lines: write one label a line, without them")
	}
	return commented(lines)
}

// withCounts tells whether each line is a label and a number, such as a score or how many there are;
// the same word with different numbers is a label.
func withCounts(lines []string) bool {
	words := map[string]bool{}
	for _, l := range lines {
		m := counted.FindStringSubmatch(l)
		if m == nil {
			return false
		}
		words[strings.Trim(m[1], " 0123456789")] = true
	}
	return len(words) > 1
}

const score = `(?:[01]?\.\d+|\d(?:\.\d+)?e-\d+)`

var (
	scoreLast  = regexp.MustCompile(`^(.*\pL.*?)\s+` + score + `$`)
	scoreFirst = regexp.MustCompile(`^` + score + `\s+(.*\pL.*)$`)
)

// withScores tells whether each line, but perhaps a heading, is a label and a number from 0 to 1 with
// decimals, each label another: 0.5 mm and 0.7 mm are labels.
func withScores(lines []string, pattern *regexp.Regexp) bool {
	if !pattern.MatchString(lines[0]) && len(lines) > 2 {
		lines = lines[1:]
	}
	words := map[string]bool{}
	for _, l := range lines {
		m := pattern.FindStringSubmatch(l)
		if m == nil || words[m[1]] {
			return false
		}
		words[m[1]] = true
	}
	return true
}

// inSequence tells whether the lines are lettered, a, b, c or i, ii, iii, but perhaps for a heading:
// the letters of abbreviated names ("A. mellifera") are in no such order.
func inSequence(lines []string) bool {
	if !lettered.MatchString(lines[0]) && len(lines) > 2 {
		lines = lines[1:]
	}
	for i, l := range lines {
		m := lettered.FindStringSubmatch(l)
		roman := i < len(romans) && m != nil && strings.EqualFold(m[1], romans[i])
		if m == nil || !roman && strings.ToLower(m[1]) != string(rune('a'+i)) {
			return false
		}
	}
	return true
}

var romans = strings.Fields("i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx")

// commented names a line that is a comment of a program among labels that are none.
func commented(lines []string) error {
	for i, l := range lines {
		if strings.HasPrefix(l, "# ") || strings.HasPrefix(l, "// ") {
			return fmt.Errorf("has %q for label %d, which looks like a comment: take it out", l, i+1)
		}
	}
	return nil
}

// listed tells whether the lines, but perhaps for the last, end as the elements of a list do.
func listed(lines []string) bool {
	n := 0
	for _, l := range lines {
		if strings.HasSuffix(l, ",") || strings.HasSuffix(l, ";") {
			n++
		}
	}
	return n >= len(lines)-1
}

// columns tells whether all lines are cut into the same number of parts.
func columns(lines []string) bool {
	for _, separator := range []string{";", "\t", "|", " # ", " // ", ","} {
		parts := func(line string) int {
			n := strings.Count(line, separator)
			if separator == "," {
				n -= strings.Count(line, ", ")
			}
			return n
		}
		n := parts(lines[0])
		if n > 0 && !slices.ContainsFunc(lines, func(l string) bool { return parts(l) != n }) {
			return true
		}
	}
	return false
}

// numbered tells whether the lines, but perhaps for a heading, have numbers beside labels: those from
// 0 or 1, in their order; or some without a gap or with 0, in any order; beside words that differ ("1
// euro" and "2 euro" are labels, and so are "grade 0" and "grade 1").
func numbered(lines []string, pattern *regexp.Regexp) bool {
	if !pattern.MatchString(lines[0]) && len(lines) > 2 {
		lines = lines[1:]
	}
	ordered, blanks, seen, words := true, false, map[int]bool{}, map[string]bool{}
	least, most := math.MaxInt, 0
	for i, line := range lines {
		m := pattern.FindStringSubmatch(line)
		if m == nil {
			return false
		}
		number, word := m[1], m[len(m)-1]
		if pattern == indexed && (m[2] == "." || m[2] == "/") && unicode.IsDigit(rune(word[0])) {
			return false // 0.5 mm, 1/2 inch
		}
		if pattern == behind {
			number, word = m[2], m[1]
		}
		n, err := strconv.Atoi(number)
		if err != nil || seen[n] {
			return false
		}
		least, most, seen[n] = min(least, n), max(most, n), true
		ordered = ordered && n == least+i
		blanks = blanks || pattern == behind || strings.Trim(m[2], " ") == ""
		words[word] = true
	}
	if len(lines) > 1 && len(words) == 1 {
		return false
	}
	if ordered && (least == 0 || least == 1 && !blanks) {
		return true
	}
	return pattern != behind && len(words) == len(lines) && len(lines) > 2 &&
		(least == 0 || most-least == len(lines)-1)
}

// checkLabels refuses labels that cannot be published or told apart, naming their places.
func checkLabels(labels, places []string) error {
	seen := map[string]int{}
	for i, l := range labels {
		first, twice := seen[norm.NFC.String(l)]
		switch {
		case l == "":
			return fmt.Errorf("%s is empty", places[i])
		case !utf8.ValidString(l):
			return fmt.Errorf("%s is not UTF-8", places[i])
		case len(l) > labelBytes:
			return fmt.Errorf("%s has %d bytes, a label has at most %d", places[i], len(l), labelBytes)
		case strings.ContainsFunc(l, func(r rune) bool { return unicode.Is(invisible, r) && !joins(r) }):
			return fmt.Errorf("%s has an invisible character in it: %q", places[i], l)
		case strings.ContainsFunc(l, unicode.IsControl):
			return fmt.Errorf("%s has a control character in it: %q", places[i], l)
		case strings.ContainsRune(l, utf8.RuneError):
			return fmt.Errorf("%s has the sign U+FFFD in it, which a program put there for what it could not read: "+
				"write it as it was meant, got %q", places[i], l)
		case twice:
			return fmt.Errorf("%q is %s and %s: labels must differ, so name the second %q", l, places[first], places[i],
				l+" 2")
		}
		seen[norm.NFC.String(l)] = i
	}
	return nil
}

var (
	heading    = regexp.MustCompile(`(?i)^[#*]?\s*(class|label|categor(y|ie)|name|id)s?([ _-]?(name|label|id)s?)?:?$`)
	background = regexp.MustCompile(`(?i)^[_<\[]*(background|bg)[_>\]]*$`)
)

// miscounted says that there are not as many labels as the network has scores, and what the one too many
// or too few may be.
func (o *Options) miscounted(labels []string, scores int) error {
	n, hint := len(labels), ""
	switch {
	case n == scores+1 && heading.MatchString(labels[0]):
		hint = fmt.Sprintf("; %q looks like a heading: take it out", labels[0])
	case n == scores+1 && background.MatchString(labels[0]):
		hint = fmt.Sprintf("; this network has no class for %q: take it out", labels[0])
	case n+1 == scores && !slices.ContainsFunc(labels, background.MatchString):
		hint = "; some networks have one more class, for the background, mostly the first"
	}
	return fmt.Errorf("%s has %d labels, the network %d scores for each picture: give %[3]d labels%s",
		cmp.Or(o.namedBy, "--labels"), n, scores, hint)
}
