package agent

import (
	"errors"
	"testing"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/mqtt"
)

// TestReloadDoesNotBecomeTheDemo: a file that was emptied is read as the built-in settings; a device
// at work does not take them at a reload.
func TestReloadDoesNotBecomeTheDemo(t *testing.T) {
	settings := func(broker string, sources ...string) *configs.Config {
		c := &configs.Config{MQTT: mqtt.Config{Broker: broker}, Model: configs.Model{Bundle: "../demo/bundle"}}
		for _, s := range sources {
			c.Cameras = append(c.Cameras, configs.Camera{Config: camera.Config{Name: "a", Source: s, Enabled: true}})
		}
		return c
	}
	const tcp = "tcp://127.0.0.1:1883"
	demo := settings(mqtt.Embedded, "demo://parts")
	for name, c := range map[string]struct {
		now, next *configs.Config
		refused   bool
	}{
		"an emptied file":          {settings(tcp, "rtsp://h/x"), demo, true},
		"with a demo camera":       {settings(tcp, "demo://parts"), demo, true},
		"with a broker of its own": {settings(mqtt.Embedded, "rtsp://h/x"), demo, true},
		"the demo itself":          {demo, demo, false},
		"a demo camera":            {settings(tcp, "rtsp://h/x"), settings(tcp, "demo://parts"), false},
		"another camera":           {demo, settings(mqtt.Embedded, "rtsp://h/x"), false},
	} {
		if err := preflight(t.Context(), c.now, c.next); errors.Is(err, errDemo) != c.refused {
			t.Errorf("%s: got %v, want refused: %v", name, err, c.refused)
		}
	}
}
