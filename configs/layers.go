package configs

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// envPrefix begins the environment variable of every key: VGGSE_MQTT_BROKER is mqtt.broker.
const envPrefix = "VGGSE_"

// envKey finds the setting that an environment variable names.
func (l *loader) envKey(name string) (string, bool) {
	for key := range l.known.leaves {
		pattern := strings.Split(envPrefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_")), "*")
		if len(pattern) == 1 {
			if pattern[0] == name {
				return key, true
			}
			continue
		}
		index, ok := strings.CutPrefix(name, pattern[0])
		if !ok {
			continue
		}
		if index, ok = strings.CutSuffix(index, pattern[1]); ok && isNumber(index) {
			return strings.Replace(key, "*", index, 1), true
		}
	}
	return "", false
}

// set lays one value over what was there.
func (l *loader) set(key, value, origin string) error {
	if !l.known.has(key) {
		return l.known.unknown(origin+" ", key)
	}
	l.origins[key] = origin
	list, rest, inList := strings.Cut(key, ".")
	if !inList || !l.known.lists[list] {
		l.viper.Set(key, value)
		return nil
	}
	number, leaf, _ := strings.Cut(rest, ".")
	i, err := strconv.Atoi(number)
	if err != nil || i > len(l.cameras) {
		return fmt.Errorf("%s %s: there are %d %s, the next is %s.%d", origin, key, len(l.cameras), list, list,
			len(l.cameras))
	}
	if i == len(l.cameras) {
		l.cameras = append(l.cameras, l.newCamera())
	}
	entry := l.cameras[i].(map[string]any)
	for {
		section, rest, deeper := strings.Cut(leaf, ".")
		if !deeper {
			entry[leaf] = value
			return nil
		}
		inner, ok := entry[section].(map[string]any)
		if !ok {
			inner = make(map[string]any)
			entry[section] = inner
		}
		entry, leaf = inner, rest
	}
}

// startCameras takes the list of cameras as the file left it, and completes each entry with the
// defaults of an entry.
func (l *loader) startCameras() error {
	list, ok := l.viper.Get("cameras").([]any)
	if !ok {
		return fmt.Errorf("cameras: must be a list of {name: …, source: …}")
	}
	for i, entry := range list {
		given, ok := entry.(map[string]any)
		if !ok {
			return fmt.Errorf("cameras[%d]: must be {name: …, source: …}", i)
		}
		whole := l.newCamera()
		maps.Copy(whole, given)
		l.cameras = append(l.cameras, whole)
	}
	return nil
}

// newCamera holds the defaults of an entry: those of the one in the manual.
func (l *loader) newCamera() map[string]any {
	entry := maps.Clone(l.entry)
	delete(entry, "name")
	delete(entry, "source")
	return entry
}

// forget drops the origins below prefix.
func (l *loader) forget(prefix string) {
	maps.DeleteFunc(l.origins, func(key, _ string) bool { return strings.HasPrefix(key, prefix) })
}

// checkFile walks the YAML of a file: each key must be known, and its line is its origin.
func (l *loader) checkFile(path string, text []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return l.checkNode(path, "", doc.Content[0])
}

func (l *loader) checkNode(path, key string, n *yaml.Node) error {
	where := fmt.Sprintf("%s:%d: ", path, n.Line)
	switch {
	case key != "" && l.known.has(key):
		l.origins[key] = strings.TrimSuffix(where, ": ")
		return nil
	case key != "" && !l.known.section(key):
		return l.known.unknown(where, key)
	case n.Kind == yaml.SequenceNode && l.known.lists[key]:
		for i, child := range n.Content {
			if err := l.checkNode(path, fmt.Sprintf("%s.%d", key, i), child); err != nil {
				return err
			}
		}
		return nil
	case n.Kind != yaml.MappingNode || l.known.lists[key]:
		return fmt.Errorf("%s%s: must hold keys of its own, not a single value", where, strings.TrimSpace(key))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if key != "" {
			name = key + "." + name
		}
		child := n.Content[i+1]
		child.Line = n.Content[i].Line
		if err := l.checkNode(path, name, child); err != nil {
			return err
		}
	}
	return nil
}
