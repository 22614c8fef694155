package configs

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"

	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/mistake"
	"github.com/vggse/vggse-agent/internal/redact"
)

// Default is the built-in configuration, and the manual of every key.
//
//go:embed default.yaml
var Default []byte

// searched are the files that Load looks for when none is named, in this order.
var searched = []string{"vggse-agent.yaml", "/etc/vggse-agent/vggse-agent.yaml"}

// Options say where the settings of one run come from.
type Options struct {
	File    string   // --config; empty: the first of the usual places that exists, else none
	Environ []string // as os.Environ gives it
	Set     []string // --set, "key=value"
	Source  string   // run --source: one camera, named "camera", in place of all others
	Bundle  string   // run --bundle
	Broker  string   // run --broker
	Listen  string   // run --listen
}

// environ is Environ by name.
func (o *Options) environ() map[string]string {
	values := make(map[string]string, len(o.Environ))
	for _, pair := range o.Environ {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return values
}

// Effective is a configuration in force, and where each of its values came from.
type Effective struct {
	Config  Config
	File    string            // the file that was read; empty: none
	origins map[string]string // leaf key → origin
	environ map[string]string
	raw     bool // Entries holds secrets too
}

// loader carries one Load from layer to layer.
type loader struct {
	known   *keys
	viper   *viper.Viper
	origins map[string]string
	cameras []any
	entry   map[string]any // the camera of the manual
	emptied []emptied
}

// Load joins default, file, environment and flags, and validates the result. An error names the
// key, where it stands, and the nearest key where it is unknown.
func Load(o Options) (*Effective, error) {
	l := &loader{
		known:   keysOf(reflect.TypeFor[Config]()),
		viper:   viper.New(),
		origins: make(map[string]string),
	}
	l.viper.SetConfigType("yaml")
	if err := l.viper.ReadConfig(bytes.NewReader(Default)); err != nil {
		return nil, fmt.Errorf("configs: built-in default: %w", err)
	}
	l.entry = l.viper.Get("cameras").([]any)[0].(map[string]any)
	file, err := l.file(o.File)
	if err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	if err := l.overrides(o); err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	e := &Effective{File: file, origins: l.origins, environ: o.environ()}
	if err := l.decode(&e.Config); err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	if err := e.fill(); err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	e.makesTokens(o)
	e.Config.Warnings = l.warnings()
	all := e.Config.mistakes()
	for i, err := range all {
		all[i] = fmt.Errorf("%w%s", err, e.whence(err))
	}
	if err := mistake.Together(all); err != nil {
		return nil, fmt.Errorf("configs: %w", err)
	}
	return e, nil
}

// makesTokens lets 'run --listen' with an address that other machines reach make the tokens that
// nobody has set: a device without a screen is opened with one command.
func (e *Effective) makesTokens(o Options) {
	h := &e.Config.HTTP
	if o.Listen == "" || h.Off() || h.Local() || h.TokenFile != "" {
		return
	}
	h.MakeTokens, h.TokenFile = true, filepath.Join(e.Config.StateDir, "view.token")
	e.origins["http.token_file"] = "--listen"
	if h.ActTokenFile == "" {
		h.ActTokenFile = filepath.Join(e.Config.StateDir, "act.token")
		e.origins["http.act_token_file"] = "--listen"
	}
}

// fileLimit is the largest configuration file that is read, bytes.
const fileLimit = 1 << 20

// file reads the configuration file, if there is one, checks its keys and lays it over the
// defaults.
func (l *loader) file(path string) (string, error) {
	candidates := searched
	if path != "" {
		candidates = []string{path}
	}
	for _, candidate := range candidates {
		text, err := readFile(candidate)
		if errors.Is(err, fs.ErrNotExist) && path == "" {
			continue
		}
		if err == nil && path == "" && candidate == searched[0] { // else who asks has named it
			err = safeForRoot(candidate)
		}
		if err != nil {
			return "", fmt.Errorf("%s: cannot be read: %w", candidate, err)
		}
		tree, err := l.readFile(candidate, text)
		if err != nil {
			return "", err
		}
		if err := l.viper.MergeConfigMap(tree); err != nil {
			return "", fmt.Errorf("%s: %w", candidate, err)
		}
		return candidate, nil
	}
	return "", nil
}

// safeForRoot is an error where root would take settings from a file of the working folder that
// another account could write: they say which pipelines run.
func safeForRoot(path string) error {
	err := account.Trusted(path)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (--config %s takes it all the same, --config %s none)", err, path, os.DevNull)
}

// readFile reads a configuration file; os.DevNull is one without settings.
func readFile(path string) ([]byte, error) {
	if path == os.DevNull {
		return nil, nil
	}
	return atomicfile.ReadSmall(path, fileLimit)
}

// overrides lays environment and flags over what stands in the file.
func (l *loader) overrides(o Options) error {
	if err := l.startCameras(); err != nil {
		return err
	}
	for _, pair := range o.Environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		key, ok := l.envKey(name)
		if !ok && strings.Contains(name, ".") {
			return fmt.Errorf("environment variable %s: a variable has _ for each dot: %s", name,
				strings.ToUpper(strings.ReplaceAll(name, ".", "_")))
		}
		if !ok {
			return l.known.unknown("environment variable "+name+": ",
				strings.ToLower(strings.TrimPrefix(name, envPrefix)))
		}
		if value == "" { // a variable that a unit or a compose file leaves empty is not set
			continue
		}
		if q := value[0]; len(value) > 1 && strings.IndexByte(`"'`, q) >= 0 && q == value[len(value)-1] &&
			!redact.Key(key) {
			return fmt.Errorf("environment %s: the quotes around the value belong to it there: leave them out", name)
		}
		if err := l.set(key, value, "environment "+name); err != nil {
			return err
		}
	}
	if o.Source != "" {
		one := l.newCamera()
		one["name"], one["source"] = "camera", o.Source
		l.cameras = []any{one}
		l.forget("cameras.")
		l.origins["cameras.0.source"] = "--source"
	}
	short := []struct{ key, value, origin string }{
		{"model.bundle", o.Bundle, "--bundle"}, {"mqtt.broker", o.Broker, "--broker"},
		{"http.listen", o.Listen, "--listen"},
	}
	for _, s := range short {
		if s.value != "" {
			if err := l.set(s.key, s.value, s.origin); err != nil {
				return err
			}
		}
	}
	for _, pair := range o.Set {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("--set %s: must be key=value", keyLike.FindString(pair))
		}
		if err := l.set(strings.TrimSpace(key), value, "--set"); err != nil {
			return err
		}
	}
	l.viper.Set("cameras", l.cameras)
	return nil
}

// keyLike is the part of a text that may be a key; the rest may be a password.
var keyLike = regexp.MustCompile(`^[A-Za-z0-9_.]*`)

// decode turns the joined layers into a Config; a value of the wrong type is an error with its key.
func (l *loader) decode(cfg *Config) error {
	err := l.viper.Unmarshal(cfg, func(d *mapstructure.DecoderConfig) {
		d.WeaklyTypedInput = true
		d.DecodeHook = mapstructure.ComposeDecodeHookFunc(
			mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(","))
	})
	var wrong *mapstructure.DecodeError
	if !errors.As(err, &wrong) {
		return err
	}
	// One mistake at a time, in one sentence; viper's own names of indices are those of our
	// messages.
	key := listIndex.ReplaceAllString(wrong.Name(), ".$1")
	return fmt.Errorf("%s: must be %s, got %v", wrong.Name(), described(l.known.leaves[generic(key)]),
		shown(key, l.value(key)))
}

// value is what the layers hold for a key, before decoding.
func (l *loader) value(key string) any {
	parts := strings.Split(key, ".")
	if len(parts) > 2 && l.known.lists[parts[0]] {
		if i, err := strconv.Atoi(parts[1]); err == nil && i < len(l.cameras) {
			v := l.cameras[i]
			for _, part := range parts[2:] {
				inner, _ := v.(map[string]any)
				v = inner[part]
			}
			return v
		}
	}
	return l.viper.Get(key)
}

// described is the type of a setting in words.
func described(t reflect.Type) string {
	switch {
	case t == nil:
		return "of another kind"
	case t == durationType:
		return "a duration such as 90s"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		return "a whole number"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	return "text"
}
