package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/redact"
)

// serviceDemo is where the package puts the demo bundle.
const serviceDemo = "/usr/share/vggse-agent/demo"

// serviceSettings is where the service's settings are.
var serviceSettings = "/etc/vggse-agent/"

// fill puts in what an empty setting stands for.
func (e *Effective) fill() error {
	c := &e.Config
	if c.Device.ID == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("device.id: the host name cannot be read, set one: %w", err)
		}
		c.Device.ID = topicLevel(host)
	}
	if c.Device.Name == "" {
		c.Device.Name = c.Device.ID
	}
	if c.StateDir == "" {
		c.StateDir = e.folder("STATE_DIRECTORY", "/var/lib/vggse-agent", "XDG_STATE_HOME", ".local/state")
	}
	if c.CacheDir == "" {
		c.CacheDir = e.folder("CACHE_DIRECTORY", "/var/cache/vggse-agent", "XDG_CACHE_HOME", ".cache")
	}
	_, service := instance(e.File)
	c.Infer.In(c.StateDir, c.CacheDir, service)
	if c.Model.Bundle == "" {
		return e.findBundle()
	}
	return nil
}

// findBundle takes the bundle that 'model activate' chose, else the demo.
func (e *Effective) findBundle() error {
	m := &e.Config.Model
	m.Demo = demoBundle()
	m.Bundle = m.Demo
	active, ok, err := store.At(e.Config.StateDir).Active()
	switch {
	case err != nil && !ok:
		return fmt.Errorf("model.bundle: the active model cannot be used: %w", err)
	case ok: // also a damaged one: what would mend it needs settings, and what opens it says so
		m.Bundle = active.Dir
		e.origins["model.bundle"] = "model activate"
	}
	return nil
}

// demoBundle is where the demo is: in the working folder, beside the program or its folder, else
// where the package puts it. Root takes none that another account could change.
func demoBundle() string {
	const here = "demo/bundle"
	places := []string{here}
	if program, err := os.Executable(); err == nil {
		dir := filepath.Dir(program)
		places = append(places, filepath.Join(dir, here), filepath.Join(filepath.Dir(dir), here))
	}
	for _, place := range places {
		if _, err := os.Stat(place); err == nil && account.Trusted(place) == nil {
			return place
		}
	}
	return serviceDemo
}

// topicLevel makes a host name fit to be a level of a topic.
func topicLevel(host string) string {
	return regexp.MustCompile(`[^A-Za-z0-9_-]+`).ReplaceAllString(host, "-")
}

// folder is where systemd says that a service's folder is. Where root, or the service's user, works
// with the settings of the service, as in 'sudo vggse-agent model install', it is that very folder;
// else it is where the XDG base directory specification puts a user's.
func (e *Effective) folder(variable, service, xdg, home string) string {
	if dir := e.environ[variable]; dir != "" {
		first, _, _ := strings.Cut(dir, ":")
		return first
	}
	if name, ok := instance(e.File); ok {
		if dir := filepath.Join(service, name); mine(dir) {
			return dir
		}
	}
	if dir := e.environ[xdg]; dir != "" {
		return filepath.Join(dir, "vggse-agent")
	}
	return filepath.Join(e.environ["HOME"], home, "vggse-agent")
}

// instance is the part of the service that reads the file: /etc/vggse-agent/line2.yaml is
// vggse-agent@line2's, and vggse-agent.yaml that of the unit without a name.
func instance(file string) (name string, ok bool) {
	name, ok = strings.CutSuffix(strings.TrimPrefix(file, serviceSettings), ".yaml")
	if !ok || !strings.HasPrefix(file, serviceSettings) || strings.Contains(name, "/") {
		return "", false
	}
	return strings.TrimPrefix(name, "vggse-agent"), true
}

// mine reports whether dir is there, and this process is root or its owner.
func mine(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (os.Geteuid() == 0 || uint32(os.Geteuid()) == stat.Uid)
}

// Entry is one setting in force.
type Entry struct {
	Key    string
	Value  any
	Origin string // "default", "FILE:LINE", "environment NAME", "--set" or another flag
}

// Entries lists every setting in the order of the manual; secrets are hidden.
func (e *Effective) Entries() []Entry {
	var all []Entry
	e.collect(reflect.ValueOf(e.Config), "", &all)
	return all
}

func (e *Effective) collect(v reflect.Value, prefix string, all *[]Entry) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("mapstructure"), ",")
		if v.Type().Field(i).Anonymous {
			e.collect(v.Field(i), prefix, all)
		}
		if name == "" || name == "-" {
			continue
		}
		key, f := prefix+name, v.Field(i)
		if f.Kind() == reflect.Pointer {
			if f.IsNil() { // not set: what holds for all does
				continue
			}
			f = f.Elem()
		}
		switch {
		case f.Kind() == reflect.Struct:
			e.collect(f, key+".", all)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			for j := range f.Len() {
				e.collect(f.Index(j), fmt.Sprintf("%s.%d.", key, j), all)
			}
		default:
			entry := Entry{Key: key, Value: f.Interface(), Origin: e.origin(key)}
			if !e.raw {
				entry.Value = shown(key, entry.Value)
			}
			*all = append(*all, entry)
		}
	}
}

func (e *Effective) origin(key string) string {
	if o, ok := e.origins[key]; ok {
		return o
	}
	return "default"
}

var listIndex = regexp.MustCompile(`\[(\d+)\]`)

// Changed lists the keys in which two configurations differ, in the order of the manual.
func Changed(before, after *Config) []string {
	was, is := entriesOf(before), entriesOf(after)
	var changed []string
	for _, entry := range is {
		i := slices.IndexFunc(was, func(e Entry) bool { return e.Key == entry.Key })
		if i < 0 || !reflect.DeepEqual(was[i].Value, entry.Value) {
			changed = append(changed, entry.Key)
		}
	}
	for _, entry := range was {
		if !slices.ContainsFunc(is, func(e Entry) bool { return e.Key == entry.Key }) {
			changed = append(changed, entry.Key)
		}
	}
	return changed
}

// entriesOf lists settings with their very values, to be compared and not shown.
func entriesOf(c *Config) []Entry {
	e := Effective{Config: *c, raw: true}
	return e.Entries()
}

// shown is the value as it may be printed.
func shown(key string, value any) any {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case time.Duration:
		return v.String()
	case string:
		if v != "" && redact.Key(key) {
			return "(hidden)"
		}
		return redact.Text(v)
	case []string:
		texts := make([]string, len(v))
		for i, text := range v {
			texts[i], _ = shown(key, text).(string)
		}
		return texts
	case bool, int, int64, float64:
		if redact.Key(key) {
			return "(hidden)"
		}
		return v
	}
	if redact.Key(key) {
		return "(hidden)"
	}
	return redact.Text(fmt.Sprint(value))
}

// whence says where the key that a validation error begins with was set.
func (e *Effective) whence(err error) string {
	key, _, _ := strings.Cut(err.Error(), ": ")
	if o, ok := e.origins[listIndex.ReplaceAllString(key, ".$1")]; ok {
		return " (set by " + o + ")"
	}
	return ""
}
