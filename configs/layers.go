package configs

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// envPrefix begins the environment variable of every key: VGGSE_MQTT_BROKER is mqtt.broker.
const envPrefix = "VGGSE_"

// envName is the environment variable of a key.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// envKey finds the setting that an environment variable names.
func (l *loader) envKey(name string) (string, bool) {
	for key := range l.known.leaves {
		pattern := strings.Split(envName(key), "*")
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
func (l *loader) set(key, text, origin string) error {
	if !l.known.has(key) {
		return l.known.unknown(origin+" ", key)
	}
	value, err := l.given(key, text)
	if err != nil {
		return fmt.Errorf("%s %w", origin, err)
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
