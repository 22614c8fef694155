package configs

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/vggse/vggse-agent/internal/mistake"
	"github.com/vggse/vggse-agent/internal/redact"
)

// keys is the set of settings that a struct type knows: dotted names of leaves, lists of structs as
// "cameras.*.name".
type keys struct {
	leaves map[string]reflect.Type
	lists  map[string]bool // "cameras": a list of structs
}

// keysOf reads the mapstructure tags of a struct type.
func keysOf(t reflect.Type) *keys {
	k := &keys{leaves: make(map[string]reflect.Type), lists: make(map[string]bool)}
	k.walk(t, "")
	return k
}

func (k *keys) walk(t reflect.Type, prefix string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
		if f.Anonymous {
			k.walk(f.Type, prefix)
		}
		if name == "" || name == "-" {
			continue
		}
		switch key := prefix + name; {
		case f.Type.Kind() == reflect.Struct:
			k.walk(f.Type, key+".")
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			k.lists[key] = true
			k.walk(f.Type.Elem(), key+".*.")
		default:
			k.leaves[key] = plain(f.Type)
		}
	}
}

// has reports whether key names a setting, with numbers where the list's "*" stands.
func (k *keys) has(key string) bool {
	_, ok := k.leaves[generic(key)]
	return ok
}

// section reports whether some setting stands below key.
func (k *keys) section(key string) bool {
	prefix := generic(key) + "."
	for leaf := range k.leaves {
		if strings.HasPrefix(leaf, prefix) {
			return true
		}
	}
	return false
}

// generic replaces the numbers of a key by "*".
func generic(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		if isNumber(p) {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, ".")
}

// numbered puts the numbers of a key in the places of a name's "*".
func numbered(name, key string) string {
	numbers := slices.DeleteFunc(strings.Split(key, "."), func(s string) bool { return !isNumber(s) })
	for _, n := range append(numbers, "0") {
		name = strings.Replace(name, "*", n, 1)
	}
	return name
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// sorted lists the leaves in alphabetical order.
func (k *keys) sorted() []string {
	all := make([]string, 0, len(k.leaves))
	for key := range k.leaves {
		all = append(all, key)
	}
	sort.Strings(all)
	return all
}

// candidates are the leaves and the sections, in alphabetical order.
func (k *keys) candidates() []string {
	all := k.sorted()
	for _, key := range k.sorted() {
		for i := strings.LastIndexByte(key, '.'); i > 0; i = strings.LastIndexByte(key[:i], '.') {
			if section := strings.TrimSuffix(key[:i], ".*"); !slices.Contains(all, section) {
				all = append(all, section)
			}
		}
	}
	sort.Strings(all)
	return all
}

// unknown is the error for a key that is no setting: it names the nearest one that is.
func (k *keys) unknown(where, key string) error {
	if clean := strings.Map(plainRune, key); clean != key {
		return fmt.Errorf("%s%s: has characters in it that no key has, perhaps unseen ones: %q", where,
			shownKey(clean), shownKey(key))
	}
	if dotted := bracketed.ReplaceAllString(key, ".$1"); k.has(dotted) {
		return fmt.Errorf("%s%s: unknown key, did you mean %s?", where, key, dotted)
	}
	if dotted := strings.ReplaceAll(strings.ToLower(key), "/", "."); dotted != key && k.has(dotted) {
		return fmt.Errorf("%s%s: unknown key, did you mean %s?", where, key, dotted)
	}
	key = shownKey(key)
	last := key[strings.LastIndexByte(key, '.')+1:]
	if isNumber(last) && last != key {
		return fmt.Errorf("%s%s: unknown key: in {…} a comma ends a value, so write a number with a dot, 0.5",
			where, key)
	}
	if instead := otherName(key); strings.Contains(instead, " ") {
		return fmt.Errorf("%s%s: unknown key: %s", where, key, instead)
	} else if instead != "" {
		return fmt.Errorf("%s%s: unknown key, did you mean %s?", where, key, instead)
	}
	best := numbered(mistake.Nearest(generic(key), k.candidates()), key)
	switch best {
	case "":
		return fmt.Errorf("%s%s: unknown key", where, key)
	case key:
		return fmt.Errorf("%s%s: is no single setting: set one below it, such as %s", where, key, k.below(key))
	}
	return fmt.Errorf("%s%s: unknown key, did you mean %s?", where, key, best)
}

// bracketed is the place in a list as other programs write it.
var bracketed = regexp.MustCompile(`\[(\d+)\]`)

// notOfKey is where the rest of a text cannot be a key's.
var notOfKey = regexp.MustCompile(`[^\p{L}\p{N}\p{Cf}\x{a0}_.\-\[\]].*`)

// shownKey is a key for people: what no key holds, and all behind it, may be a value that slipped in.
func shownKey(key string) string { return notOfKey.ReplaceAllString(redact.Text(key), "…") }

// below is the first setting of a section.
func (k *keys) below(section string) string {
	for _, key := range k.sorted() {
		if strings.HasPrefix(key, section+".") {
			return strings.ReplaceAll(key, "*", "0")
		}
	}
	return section
}

// plainRune drops what stands in no key.
func plainRune(r rune) rune {
	if unicode.IsSpace(r) && r != ' ' || unicode.Is(unicode.Cf, r) || unicode.IsControl(r) {
		return -1
	}
	return r
}

var durationType = reflect.TypeFor[time.Duration]()

// plain is the type of a setting that may be left out.
func plain(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// Keys are the names of all settings, in order; those of a camera as cameras.0.….
func Keys() []string {
	var names []string
	for key := range keysOf(reflect.TypeFor[Config]()).leaves {
		names = append(names, strings.ReplaceAll(key, "*", "0"))
	}
	slices.Sort(names)
	return names
}
