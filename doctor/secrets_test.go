package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/configs"
)

// Secrets that other accounts can read or change, or that go over a network in clear text, are
// warned of; those of one account, or of its group, are not.
func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode   os.FileMode
		broker string
		want   string // empty: nothing
	}{
		{0o600, "tcp://127.0.0.1:1883", ""}, {0o640, "ssl://broker:8883", ""}, {0o400, "tcp://localhost", ""},
		{0o644, "ssl://broker", "has mode 0644"}, {0o666, "ssl://broker", "has mode 0666"},
		{0o620, "ssl://broker", "has mode 0620"}, {0o600, "tcp://broker", "go to broker:1883 in clear text"},
		{0o600, "ws://192.0.2.1/mqtt", "go to 192.0.2.1:80 in clear text"}, {0o600, "tcp://[::1]:1883", ""},
	} {
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		config := configs.Config{}
		config.MQTT.Broker, config.MQTT.User, config.MQTT.PasswordFile = c.broker, "me", file
		all := checkSecrets(t.Context(), &Target{Config: &config})
		switch {
		case c.want == "" && len(all) > 0:
			t.Errorf("%04o %s: got %+v, want nothing", c.mode, c.broker, all)
		case c.want != "" && (len(all) != 1 || all[0].Status != Warn || all[0].Cure == "" ||
			!strings.Contains(all[0].Found, c.want)):
			t.Errorf("%04o %s: got %+v, want a warning with %q", c.mode, c.broker, all, c.want)
		}
	}
}
