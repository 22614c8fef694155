package mqtt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Names of commands, the whole list.
const (
	CommandSnapshot      = "snapshot"       // Command.Camera's picture, to its snapshot topic
	CommandReload        = "reload"         // read the configuration again
	CommandRestart       = "restart"        // end the process, for the service manager to start it again
	CommandModelActivate = "model_activate" // use the installed bundle Command.SHA256
	CommandRollback      = "rollback"       // use the bundle before the active one again
	commandSet           = "set"            // in mqtt.commands.allow: the topics C/…/set
)

// Commands are all words that mqtt.commands.allow knows.
var Commands = []string{commandSet, CommandSnapshot, CommandReload, CommandRestart, CommandModelActivate,
	CommandRollback}

// Command is one wish of a subscriber, decoded and allowed.
type Command struct {
	ID     string // given by the sender
	Name   string // CommandSnapshot, …
	Camera string // of CommandSnapshot
	SHA256 string // of CommandModelActivate
	given  time.Time
	ttl    time.Duration
}

const (
	commandLimit = 4096 // bytes of a command
	commandTTL   = 30 * time.Second
	longestTTL   = 300 * time.Second
	clockSlack   = 30 * time.Second // so much may the sender's clock be ahead
)

var (
	commandID   = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
	commandTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)
	digest      = regexp.MustCompile(`^[0-9a-f]{64}$`)
	threshold   = regexp.MustCompile(`^(0(\.\d{1,6})?|1(\.0{1,6})?)$`)
)

// decodeCommand reads what stands in the contract as command, and nothing else: no unknown or
// repeated key, no other case of one, nothing behind the end. With an error, ID and Name are what
// could be read.
func decodeCommand(b []byte) (Command, error) {
	c := Command{ttl: commandTTL}
	if len(b) > commandLimit {
		return c, fmt.Errorf("is longer than %d bytes", commandLimit)
	}
	if !utf8.Valid(b) {
		return c, errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var args map[string]string
	seen, err := object(d, func(key string) error { return c.field(d, key, &args) })
	if err != nil {
		return c, err
	}
	if _, err := d.Token(); err != io.EOF {
		return c, errors.New("goes on behind its end")
	}
	for _, key := range []string{"id", "name", "ts"} {
		if !slices.Contains(seen, key) {
			return c, fmt.Errorf("lacks %q", key)
		}
	}
	return c, c.takeArgs(args)
}

// field reads the value of one key.
func (c *Command) field(d *json.Decoder, key string, args *map[string]string) (err error) {
	switch key {
	case "id":
		return text(d, key, commandID, &c.ID)
	case "name":
		var name string
		if err := text(d, key, nil, &name); err != nil {
			return err
		}
		if name == commandSet || !slices.Contains(Commands, name) {
			return fmt.Errorf("name: must be one of %s", strings.Join(Commands[1:], ", "))
		}
		c.Name = name
	case "ts":
		var ts string
		if err := text(d, key, commandTime, &ts); err != nil {
			return err
		}
		if c.given, err = time.Parse(time.RFC3339, ts); err != nil {
			return errors.New("ts: there is no such time")
		}
	case "ttl_s":
		t, err := d.Token()
		if err != nil {
			return errors.New("is not JSON")
		}
		number, _ := t.(json.Number)
		n, err := strconv.Atoi(number.String())
		if err != nil || n < 1 || n > int(longestTTL.Seconds()) {
			return fmt.Errorf("ttl_s: must be a whole number from 1 to %d", int(longestTTL.Seconds()))
		}
		c.ttl = time.Duration(n) * time.Second
	case "args":
		*args = make(map[string]string)
		_, err := object(d, func(key string) error {
			var v string
			err := text(d, "args."+key, nil, &v)
			(*args)[key] = v
			return err
		})
		return err
	default:
		return fmt.Errorf("has an unknown key %.40q", key)
	}
	return nil
}

// takeArgs reads what the command of this name wants.
func (c *Command) takeArgs(args map[string]string) error {
	wanted, into, form := "", new(string), (*regexp.Regexp)(nil)
	switch c.Name {
	case CommandSnapshot:
		wanted, into, form = "camera", &c.Camera, topicLevel
	case CommandModelActivate:
		wanted, into, form = "sha256", &c.SHA256, digest
	}
	for key, v := range args {
		switch {
		case key != wanted:
			return fmt.Errorf("args: %s takes no %.40q", c.Name, key)
		case !form.MatchString(v):
			return fmt.Errorf("args.%s: must look like %s", key, form)
		}
		*into = v
	}
	if wanted != "" && *into == "" {
		return fmt.Errorf("args: %s wants %q", c.Name, wanted)
	}
	return nil
}

// object reads a JSON object, calls value for each key, and lists the keys.
func object(d *json.Decoder, value func(key string) error) (keys []string, err error) {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("is no JSON object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return keys, errors.New("is not JSON")
		}
		key := t.(string)
		if slices.Contains(keys, key) {
			return keys, fmt.Errorf("has %.40q twice", key)
		}
		keys = append(keys, key)
		if err := value(key); err != nil {
			return keys, err
		}
	}
	if _, err := d.Token(); err != nil {
		return keys, errors.New("is not JSON")
	}
	return keys, nil
}

// text reads a string of the given form.
func text(d *json.Decoder, key string, form *regexp.Regexp, into *string) error {
	t, err := d.Token()
	if err != nil {
		return errors.New("is not JSON")
	}
	s, ok := t.(string)
	if !ok {
		return fmt.Errorf("%.40s: must be a string", key)
	}
	if form != nil && !form.MatchString(s) {
		return fmt.Errorf("%.40s: must look like %s", key, form)
	}
	*into = s
	return nil
}
