package mqtt

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Login succeeds where the agent would get on, and says what stands in the way where it would not.
func TestLogin(t *testing.T) {
	needMosquitto(t, "mosquitto_passwd")
	dir := t.TempDir()
	passwords, acl := filepath.Join(dir, "passwords"), filepath.Join(dir, "acl")
	out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, "edge", "secret").CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if err := os.WriteFile(acl, []byte("user edge\ntopic readwrite vggse/edge/#\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{dir, passwords, acl} { // Mosquitto may run as another user
		os.Chmod(file, 0o755)
	}
	open := startMosquitto(t, "allow_anonymous true")
	m := startMosquitto(t, "allow_anonymous false", "password_file "+passwords, "acl_file "+acl)
	noRetain := startMosquitto(t, "allow_anonymous true", "retain_available false")
	short := startMosquitto(t, "allow_anonymous true", "message_size_limit 300")
	for _, test := range []struct {
		name, device, want string
		c                  Config
	}{
		{"no password needed", "edge", "", Config{Broker: open.url()}},
		{"right", "edge", "", Config{Broker: m.url(), User: "edge", Password: "secret"}},
		{"wrong password", "edge", "uthor", Config{Broker: m.url(), User: "edge", Password: "geheim"}},
		{"no password", "edge", "uthor", Config{Broker: m.url()}},
		{"no password file", "edge", "mqtt.password_file",
			Config{Broker: m.url(), User: "edge", PasswordFile: "/nope"}},
		{"no CA file", "edge", "mqtt.tls.ca", Config{Broker: "ssl://" + m.addr(), TLS: TLS{CA: "/nope.pem"}}},
		{"no retained messages", "edge", "EOF", Config{Broker: noRetain.url()}},
		{"short messages", "edge", "message_size_limit", Config{Broker: short.url()}},
		{"no broker", "edge", "refused", Config{Broker: "tcp://127.0.0.1:1"}},
		{"access rule", "other", "vggse/other/", Config{Broker: m.url(), User: "edge", Password: "secret"}},
	} {
		test.c.TopicPrefix = "vggse"
		err := Login(t.Context(), test.c, test.device)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the password is in %v", test.name, err)
		}
	}
}
