package configs

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/vggse/vggse-agent/internal/redact"
)

// unread is the error for a text that is no YAML. Of what the library says only its kind and its
// line are told: some of its texts quote a value, which may be a password.
func unread(text []byte, err error) error {
	said := strings.TrimPrefix(err.Error(), "yaml: ")
	lines := strings.Split(string(text), "\n")
	switch {
	case strings.Contains(said, "UTF-8"):
		return errors.New("it is not UTF-8 (Latin-1?): save the file as UTF-8")
	case tomlLike.Match(text):
		return errors.New("it is TOML, INI or a list of variables, not YAML: write 'mqtt:' and below it, indented, " +
			"'broker: …'")
	case strings.Contains(said, "control characters"):
		return fmt.Errorf("%s: it holds bytes that are no text, such as the zeros of a file that was cut off", said)
	case strings.Contains(said, "anchor"):
		return fmt.Errorf("%sa value that begins with * stands in quotes; else *NAME takes what &NAME has marked "+
			"further up", lineWhere(lines, regexp.MustCompile(`(^|[\s:\[,{])\*\S`)))
	case strings.Contains(said, "document start"):
		return fmt.Errorf("%sends the configuration (...), and text stands behind it: put all before it, or begin a "+
			"comment with #", lineWhere(lines, regexp.MustCompile(`^\.\.\.(\s|$)`)))
	}
	if hint := hintOf(lines, lineSaid(said)); hint != "" {
		return fmt.Errorf("%s", hint)
	}
	for _, line := range lines {
		if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
			return fmt.Errorf("%s: YAML is indented by blanks, not by tabs", said)
		}
	}
	switch {
	case strings.Contains(said, "cannot start any token"):
		return fmt.Errorf("%s: a value that begins with @, %% or ` stands in quotes", said)
	case strings.Contains(said, "unexpected end of stream"):
		return fmt.Errorf("%s: a quotation mark is opened that nothing closes", said)
	}
	return fmt.Errorf("%s: are the keys of one section indented alike, and is there a blank behind each colon?", said)
}

// tomlLike is a section in brackets with an assignment below it.
var tomlLike = regexp.MustCompile(`(?m)^\[[\w.-]+\]\s*\n(?:\s*[#;].*\n|\s*\n)*[\w.-]+\s*=`)

// lineWhere begins an error about the first line that a pattern fits.
func lineWhere(lines []string, pattern *regexp.Regexp) string {
	for i, line := range lines {
		if pattern.MatchString(line) {
			return fmt.Sprintf("line %d: ", i+1)
		}
	}
	return ""
}

var saidLine = regexp.MustCompile(`^line (\d+):`)

// lineSaid is the line that an error of the library begins with; 0: none.
func lineSaid(said string) int {
	m := saidLine.FindStringSubmatch(said)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// hintOf is the habit of other notations that makes a line no YAML: that of the line which the
// library named, or of the next (it counts from 0 at times), else of the first line that shows one.
func hintOf(lines []string, said int) string {
	first := ""
	for i, line := range lines {
		hint := habit(strings.TrimRight(line, " \r"))
		if hint == "" {
			continue
		}
		hint = fmt.Sprintf("line %d: %s", i+1, hint)
		if said > 0 && (i+1 == said || i == said) {
			return hint
		}
		if first == "" {
			first = hint
		}
	}
	return first
}

var (
	keyAndValue = regexp.MustCompile(`^\s*(?:- +)*["']?([\w.-]+)["']?\s*:[ \t]+(.*)$`)
	gluedDash   = regexp.MustCompile(`^\s*-[A-Za-z_]+\s*:(?:\s|$)`)
	conflict    = regexp.MustCompile(`^(?:<{7} |={7}$|>{7} )`)
	escaped     = regexp.MustCompile(`\\[^0abtnvfre "/\\N_LPxuU\t]`)
	doubleQuote = regexp.MustCompile(`^"(?:[^"\\]|\\.)*"\s*(?:#.*)?$`)
	singleQuote = regexp.MustCompile(`^'(?:[^']|'')*'\s*(?:#.*)?$`)
	blockScalar = regexp.MustCompile(`^[|>][-+0-9]*\s*(?:#.*)?$`)
)

// habit is what is wrong with one line; it never holds the value.
func habit(line string) string {
	if dash := strings.TrimLeft(line, " "); strings.HasPrefix(dash, "–") || strings.HasPrefix(dash, "—") {
		return "an entry of a list begins with - (a hyphen), not with a dash"
	}
	if gluedDash.MatchString(line) {
		return "an entry of a list begins with - and a blank"
	}
	if conflict.MatchString(line) {
		return "two versions of git stand there, not merged: keep the lines of one, without the marks"
	}
	m := keyAndValue.FindStringSubmatch(line)
	if m == nil || m[2] == "" {
		return ""
	}
	key, value := m[1], m[2]
	switch c := value[0]; {
	case c == '"' && escaped.MatchString(value):
		return key + `: in "…" a backslash has a meaning of its own: write the value in single quotes, '…'`
	case c == '"' && !doubleQuote.MatchString(value):
		return key + `: the quotes "…" do not hold the whole value: write \" for a quote in it, or '…' around all`
	case c == '\'' && !singleQuote.MatchString(value):
		return key + `: the quotes '…' do not hold the whole value: write '' for a quote in it, or "…" around all`
	case strings.IndexByte("@%`,]}", c) >= 0, strings.IndexByte("|>", c) >= 0 && !blockScalar.MatchString(value),
		strings.IndexByte("-?", c) >= 0 && strings.HasPrefix(value[1:], " "),
		strings.IndexByte("[{", c) >= 0 && redact.Key(key):
		return fmt.Sprintf("%s: a value that begins with %c stands in quotes, '…'", key, c)
	case strings.IndexByte(`"'[{#`, c) < 0 && strings.Contains(value, ": "):
		return key + ": a value with a colon and a blank in it stands in quotes, '…'"
	}
	return ""
}

// emptied notes a secret whose value is a comment: it is empty, which may be what was meant, or not.
func (t *tree) emptied(key string, n *yaml.Node, line int) {
	if !redact.Key(key) || n.Value != "" || line < 1 || line > len(t.lines) {
		return
	}
	name := regexp.QuoteMeta(key[strings.LastIndexByte(key, '.')+1:])
	if regexp.MustCompile(`(?:^|[\s{,])["']?` + name + `["']?\s*:[ \t]+#`).MatchString(t.lines[line-1]) {
		t.loader.emptied = append(t.loader.emptied, emptied{key, t.at(line)})
	}
}

// emptied is a secret that a comment stands in place of.
type emptied struct{ key, at string }

// warnings are the secrets that are empty although something stands there, unless another layer or a file
// has them, and those that are given twice.
func (l *loader) warnings() (all []string) {
	given := func(key string) bool {
		text, _ := l.value(key).(string)
		return text != ""
	}
	for _, e := range l.emptied {
		if !given(e.key) && !given(e.key+"_file") {
			all = append(all, fmt.Sprintf("%s%s is empty: the # begins a comment; put a value that begins with # into "+
				`quotes, '…', or write "" where none is meant`, e.at, e.key))
		}
	}
	if given("mqtt.password") && given("mqtt.password_file") {
		all = append(all, fmt.Sprintf("mqtt.password (set by %s) is used and mqtt.password_file (set by %s) not read: "+
			"remove one of the two", l.origins["mqtt.password"], l.origins["mqtt.password_file"]))
	}
	return all
}

// lost is an error where the line of a secret holds more than YAML takes for its value: what begins
// with #, & or ! is a comment, a mark or a tag there, and the device would log in without.
func (t *tree) lost(key string, n *yaml.Node, line int) error {
	plain := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	if !redact.Key(key) || n.Kind != yaml.ScalarNode || !plain || line < 1 || line > len(t.lines) {
		return nil
	}
	name := regexp.QuoteMeta(key[strings.LastIndexByte(key, '.')+1:])
	at := regexp.MustCompile(`(?:^|[\s{,])["']?` + name + `["']?\s*:[ \t]`).FindStringIndex(t.lines[line-1])
	if at == nil {
		return nil
	}
	rest := strings.TrimSpace(t.lines[line-1][at[1]:])
	comment := strings.HasPrefix(rest, "# ") || rest == "#"
	empty := n.Value == "" && rest != "" && !comment && strings.IndexByte(",}", rest[0]) < 0
	behind, whole := strings.CutPrefix(rest, n.Value)
	if empty || whole && glued.MatchString(behind) {
		return fmt.Errorf("%s%s: YAML takes what stands there for a comment, a mark or a tag: write the value in "+
			"quotes, '…' (a comment begins with a # and a blank)", t.at(line), key)
	}
	return nil
}

// glued is a comment without a blank behind its #: more likely a part of a password.
var glued = regexp.MustCompile(`^\s+#[^\s#]`)

// pieces is an error where a comma within {…} has cut a secret in two.
func (t *tree) pieces(section string, n *yaml.Node, i int) error {
	if n.Style&yaml.FlowStyle == 0 || i < 2 || !isNull(n.Content[i+1]) || n.Content[i+1].Value != "" {
		return nil
	}
	for j := i - 2; j >= 0; j -= 2 {
		if before := n.Content[j].Value; redact.Key(before) {
			return fmt.Errorf("%s%s: within {…} a comma ends a value: write this one in quotes, '…'",
				t.at(n.Content[j].Line), strings.TrimPrefix(section+"."+before, "."))
		}
		if !isNull(n.Content[j+1]) {
			break
		}
	}
	return nil
}

// ownTags are the tags that programs which people copy from read themselves.
var ownTags = regexp.MustCompile(`^!(secret|include\w*|vault|env|env_var|ENV|lambda|Ref|Sub|GetAtt)$`)

// tagged is the error for a value with a tag that is not YAML's.
func (t *tree) tagged(key string, n *yaml.Node) error {
	if redact.Key(key) && !ownTags.MatchString(n.Tag) {
		return fmt.Errorf("%s%s: a value that begins with ! stands in quotes, '…'", t.at(n.Line), key)
	}
	return fmt.Errorf("%s%s: %s is another program's: write the value itself, put it into the environment (%s), or, "+
		"of a password, into mqtt.password_file", t.at(n.Line), key, redact.Text(n.Tag), envName(key))
}

// single is the error for one value where keys are wanted.
func (t *tree) single(key, value string, line int) error {
	where, cure := t.at(line), ": is there a blank behind each colon?"
	if assignment.MatchString(value) {
		cure = ": it is a list of variables, not YAML: write 'mqtt:' and below it, indented, 'broker: …'"
	}
	if key != "" {
		where += key + ": "
	}
	if c := redact.Unseen(value); c != "" {
		cure = ": the character " + c + " that stands there is not seen and no blank"
	}
	switch {
	case key != "":
	case strings.HasPrefix(value, "version https://git-lfs"):
		return fmt.Errorf("%sit is a pointer of Git LFS, not the file itself: run git lfs pull", where)
	case strings.HasPrefix(value, "<"):
		return fmt.Errorf("%sit is a page (HTML or XML), not YAML: download it again, by its raw address", where)
	}
	if index := strings.LastIndexByte(key, '.'); index > 0 && isNumber(key[index+1:]) {
		return fmt.Errorf("%smust be {name: …, source: …}, not a single value", where)
	}
	if key == "" {
		return fmt.Errorf("%smust hold keys such as 'mqtt:' and 'cameras:'%s", where, cure)
	}
	return fmt.Errorf("%smust hold keys of its own, not a single value%s", where, cure)
}

// assignment begins a list of variables or properties.
var assignment = regexp.MustCompile(`^[A-Za-z_][\w.]*\s*=`)

// linesOf are the lines of a file, without their ends.
func linesOf(text []byte) (lines []string) {
	for line := range bytes.Lines(text) {
		lines = append(lines, strings.TrimRight(string(line), "\r\n"))
	}
	return lines
}
