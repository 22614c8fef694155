package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/vggse/vggse-agent/internal/mistake"
)

// nodeLimit is how many values a file may come to with its anchors written out.
const nodeLimit = 20_000

// tree turns the YAML of a file into the map that it stands for. Each key must be known, and its
// line is its origin; anchors and merge keys are resolved; what a scalar means is decided by its
// setting, so that a text of digits stays what was written.
type tree struct {
	loader *loader
	path   string
	lines  []string // of the file
	nodes  int

	mistakes []error // in keys and values
}

// readFile is the tree of a file's text; nil where nothing stands in it.
func (l *loader) readFile(path string, text []byte) (map[string]any, error) {
	doc, err := oneDocument(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	t := &tree{loader: l, path: path, lines: linesOf(text)}
	value, err := t.value("", doc.Content[0], doc.Content[0].Line)
	root, _ := value.(map[string]any)
	if err != nil {
		t.mistakes = append(t.mistakes, err)
	}
	return root, mistake.Together(t.mistakes)
}

// oneDocument is the YAML of a text.
func oneDocument(text []byte) (doc yaml.Node, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err = decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return doc, nil
	}
	var second yaml.Node
	if err == nil {
		err = decoder.Decode(&second)
	}
	switch {
	case errors.Is(err, io.EOF):
		return doc, nil
	case err != nil:
		return doc, unread(text, err)
	case len(second.Content) == 0 || isNull(second.Content[0]):
		return doc, nil
	}
	return doc, fmt.Errorf("line %d begins a second document (--- or ...), a configuration is one: put all into the "+
		"first", second.Content[0].Line)
}

// at begins an error about a line.
func (t *tree) at(line int) string { return fmt.Sprintf("%s:%d: ", t.path, line) }

// value is what the node of a key stands for; nil where it is not set. Line is where the key
// stands.
func (t *tree) value(key string, n *yaml.Node, line int) (any, error) {
	if t.nodes++; t.nodes > nodeLimit {
		return nil, fmt.Errorf("%smore than %d values, anchors written out", t.at(line), nodeLimit)
	}
	known := t.loader.known
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case key != "" && known.has(key):
		return t.leaf(key, n, line)
	case key != "" && !known.section(key):
		return nil, known.unknown(t.at(line), key)
	case known.lists[key] && n.Kind == yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, child := range n.Content {
			inner, err := t.value(fmt.Sprintf("%s.%d", key, i), child, child.Line)
			if err != nil {
				return nil, err
			}
			list[i] = inner
		}
		return list, nil
	case known.lists[key]:
		return nil, fmt.Errorf("%s%s: must be a list of {name: …, source: …}", t.at(line), key)
	case isNull(n):
		return nil, nil
	case foreignTag(n):
		return nil, t.tagged(key, n)
	case n.Kind != yaml.MappingNode:
		return nil, t.single(key, n.Value, line)
	}
	into := make(map[string]any)
	return into, t.fill(into, key, n, 0)
}

// fill takes the keys of a mapping, after those of what is merged into it.
func (t *tree) fill(into map[string]any, key string, n *yaml.Node, depth int) error {
	if t.nodes++; depth > 20 || t.nodes > nodeLimit {
		return fmt.Errorf("%sanchors are merged too deep", t.at(n.Line))
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		if first, twice := seen[name.Value]; twice {
			return fmt.Errorf("%s%s: stands there twice, first in line %d", t.at(name.Line), shownKey(name.Value),
				first)
		}
		seen[name.Value] = name.Line
		if name.Tag == "!!merge" || name.Value == "<<" {
			if err := t.merge(into, key, n.Content[i+1], depth); err != nil {
				return err
			}
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, full := n.Content[i], n.Content[i].Value
		if full == "<<" || key == "" && strings.HasPrefix(full, "x-") { // x-…: a place for anchors
			continue
		}
		if key != "" {
			full = key + "." + full
		}
		if err := t.pieces(key, n, i); err != nil {
			return err
		}
		value, err := t.value(full, n.Content[i+1], name.Line)
		if err != nil {
			t.mistakes = append(t.mistakes, err)
			continue
		}
		if value != nil {
			into[name.Value] = value
		}
	}
	return nil
}

// merge takes what stands behind <<: a mapping, or a list of them, of which the first wins.
func (t *tree) merge(into map[string]any, key string, n *yaml.Node, depth int) error {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		return t.fill(into, key, n, depth+1)
	case yaml.SequenceNode:
		for i := len(n.Content) - 1; i >= 0; i-- {
			if err := t.merge(into, key, n.Content[i], depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s<<: merges mappings only, as in {<<: *camera, name: b}", t.at(n.Line))
}

// leaf is the value of a setting; nil where none is given.
func (t *tree) leaf(key string, n *yaml.Node, line int) (any, error) {
	if foreignTag(n) {
		return nil, t.tagged(key, n)
	}
	if err := t.lost(key, n, line); err != nil {
		return nil, err
	}
	if isNull(n) {
		t.emptied(key, n, line)
		return nil, nil
	}
	t.loader.origins[key] = strings.TrimSuffix(t.at(line), ": ")
	list := t.loader.kind(key) == reflect.Slice
	switch {
	case n.Kind == yaml.ScalarNode:
		value, err := t.loader.given(key, n.Value)
		if err != nil {
			return nil, fmt.Errorf("%s%w", t.at(line), err)
		}
		return value, nil
	case n.Kind == yaml.SequenceNode && list:
		texts := make([]string, len(n.Content))
		for i, child := range n.Content {
			for child.Kind == yaml.AliasNode {
				child = child.Alias
			}
			if child.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("%s%s: must be a list of single values", t.at(line), key)
			}
			texts[i] = child.Value
		}
		return texts, nil
	case list:
		return nil, fmt.Errorf("%s%s: must be a list, as in [a, b]", t.at(line), key)
	}
	return nil, fmt.Errorf("%s%s: must be a single value", t.at(line), key)
}

// foreignTag tells whether a value bears a tag that is not YAML's own: another program's command.
func foreignTag(n *yaml.Node) bool {
	return n.Style&yaml.TaggedStyle != 0 && !ownTag.MatchString(n.ShortTag())
}

// ownTag are YAML's own tags; !!python/object is none.
var ownTag = regexp.MustCompile(`^!!(str|int|float|bool|null|map|seq|binary|timestamp|merge)$`)

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// kind is how the value of a known setting is held.
func (l *loader) kind(key string) reflect.Kind { return l.known.leaves[generic(key)].Kind() }

var (
	placeholder = regexp.MustCompile(`\$\{[A-Za-z_]\w*[:}-]|\{\{.*\}\}`)
	leadingZero = regexp.MustCompile(`^[+-]?0[0-9_]`)
	pathKey     = regexp.MustCompile(`(^|[._])(dir|file|bundle|trust|ca|cert|key|library)$`)
	errZero     = errors.New("a number that begins with 0 may mean two things, write it without")
)

// given is what a text means for a setting, wherever it was written: for a text itself, for a list
// also its YAML form, else the number or the truth. One that is neither stays a text, and is
// refused with the key's name when all is decoded.
func (l *loader) given(key, text string) (any, error) {
	t := l.known.leaves[generic(key)]
	kind, trimmed := t.Kind(), strings.TrimSpace(text)
	if placeholder.MatchString(text) { // the text itself may be half a password
		return nil, fmt.Errorf("%s: ${…} and {{…}} are not filled in here: set %s in the environment", key,
			envName(key))
	}
	if r, _ := utf8.DecodeRuneInString(trimmed); strings.ContainsRune("“”„‘’‚«»", r) {
		return nil, fmt.Errorf("%s: stands in typographic quotation marks (%c): write \" or '", key, r)
	}
	if kind == reflect.String && pathKey.MatchString(key) && mistake.ForShell(trimmed) {
		return nil, fmt.Errorf("%s: ~ and $NAME are not filled in here: write the whole path, such as /home/NAME/…",
			key)
	}
	switch {
	case kind == reflect.Slice:
		return listOf(text), nil
	case kind == reflect.String || t == durationType:
		return strings.TrimRight(text, "\r\n"), nil // the end of a line in a block or an environment file
	case trimmed == "":
		return nil, fmt.Errorf("%s: is empty, give %s or leave it out", key, described(t))
	case kind == reflect.Bool:
		return truth(text), nil
	case leadingZero.MatchString(trimmed):
		return nil, fmt.Errorf("%s: %w, got %s", key, errZero, trimmed)
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(trimmed, "_", ""), 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		return nil, fmt.Errorf("%s: must be %s, got %s", key, described(t), trimmed)
	}
	if kind == reflect.Float64 {
		if err == nil {
			return v, nil
		}
		return text, nil
	}
	if whole, bad := strconv.ParseInt(trimmed, 0, 64); bad == nil {
		return whole, nil
	}
	if err == nil && v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return int64(v), nil
	}
	if err == nil { // 2.5 would be cut to 2
		return nil, fmt.Errorf("%s: must be %s, got %s", key, described(t), trimmed)
	}
	return text, nil
}

// truth takes the words of YAML 1.1 too; any other text stays one.
func truth(text string) any {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "on", "1":
		return true
	case "false", "no", "off", "0":
		return false
	}
	return text
}

// listOf takes a list as YAML writes it, [a, b], or as elements between commas.
func listOf(text string) any {
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "[") && strings.HasSuffix(trimmed, "]") {
		var list []string
		if yaml.Unmarshal([]byte(trimmed), &list) == nil {
			return list
		}
	}
	if strings.TrimSpace(text) == "" {
		return []string{}
	}
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}
