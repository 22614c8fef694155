package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/mqtt"
)

// preflight looks at what new settings need before the old ones are let go: files of the broker's
// login and of HTTP, the bundle, and the files of cameras that are new or changed. What only the
// network can tell is no part of it.
func preflight(ctx context.Context, now, next *configs.Config) error {
	if !demo(now) && demo(next) {
		return errDemo
	}
	if err := next.HTTP.CheckFiles(); err != nil {
		return err
	}
	if err := next.MQTT.CheckFiles(); err != nil {
		return err
	}
	if _, err := bundle.Open(next.Model.Bundle); err != nil {
		return fmt.Errorf("model.bundle: %w", err)
	}
	return preflightCameras(ctx, now, next)
}

// errDemo is why settings are refused that nobody wrote.
var errDemo = errors.New("these settings are the built-in demo: is the configuration file empty? A restart would " +
	"run it, a reload does not")

// demo reports whether settings show the demo alone, to nobody but this machine.
func demo(c *configs.Config) bool {
	for i := range c.Cameras {
		if u, err := camera.ParseURI(c.Cameras[i].Source); err != nil || u.Scheme != "demo" {
			return false
		}
	}
	return c.MQTT.Broker == mqtt.Embedded
}

// preflightCameras refuses a changed camera whose file cannot be shown. Of those that are as they
// were it refuses none, but where no camera would be left.
func preflightCameras(ctx context.Context, now, next *configs.Config) error {
	before := make(map[string]camera.Config)
	for _, c := range now.Cameras {
		before[c.Name] = c.Config
	}
	var first error
	left := 0
	for i := range next.Cameras {
		c := &next.Cameras[i].Config
		if !c.Enabled {
			continue
		}
		err := askFile(ctx, c.Source)
		switch {
		case err == nil:
			left++
		case !reflect.DeepEqual(before[c.Name], *c):
			return fmt.Errorf("cameras[%d].source: %w", i, err)
		case first == nil:
			first = fmt.Errorf("cameras[%d].source: %w", i, err)
		}
	}
	if left == 0 {
		return first
	}
	return nil
}

// askFile tries a source that is a file; of any other it has nothing to say.
func askFile(ctx context.Context, source string) error {
	u, err := camera.ParseURI(source)
	if err != nil || u.Scheme != "file" {
		return err
	}
	_, err = worker.Ask(ctx, source)
	if errors.Is(err, camera.ErrLost) {
		return nil
	}
	return err
}

// fingerprintLimit is the largest file that a fingerprint is taken of, bytes.
const fingerprintLimit = 4 << 20

// fingerprint is what the files hold that settings name and that are read at the start alone: a
// token that was exchanged is a change although its path is the same.
func fingerprint(c *configs.Config) (sum [sha256.Size]byte) {
	all := sha256.New()
	tls := c.MQTT.TLS
	for _, path := range []string{c.HTTP.TokenFile, c.HTTP.ActTokenFile,
		c.MQTT.PasswordFile, tls.CA, tls.Cert, tls.Key} {
		if path == "" {
			continue
		}
		text, err := atomicfile.ReadSmall(path, fingerprintLimit)
		fmt.Fprintf(all, "%s %d %v\n", path, len(text), err != nil)
		all.Write(text)
	}
	return [sha256.Size]byte(all.Sum(nil))
}
