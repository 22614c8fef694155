package fleet

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt"
)

// mosquitto is a real broker with one of the configurations that the documentation has, its
// addresses apart.
type mosquitto struct {
	t    *testing.T
	conf string
	url  string
	cmd  *exec.Cmd
}

func newMosquitto(t *testing.T, example string, change ...string) *mosquitto {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../docs/examples", example))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	dir := t.TempDir()
	change = append(change, "listener 1883", "listener "+port+" 127.0.0.1\nuser root", "/var/lib/mosquitto/", dir+"/")
	for i := 0; i < len(change); i += 2 {
		if !strings.Contains(string(text), change[i]) {
			t.Fatalf("%s has no %q", example, change[i])
		}
	}
	m := &mosquitto{t: t, conf: filepath.Join(dir, "mosquitto.conf"), url: "tcp://127.0.0.1:" + port}
	changed := strings.NewReplacer(change...).Replace(string(text))
	if err := os.WriteFile(m.conf, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	t.Cleanup(m.kill)
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if path, err := exec.LookPath(dir + "mosquitto"); err == nil {
			m.cmd = exec.Command(path, "-c", m.conf)
			if err := m.cmd.Start(); err != nil {
				m.t.Fatal(err)
			}
			return
		}
	}
	m.t.Skip("mosquitto not found (make deps)")
}

func (m *mosquitto) kill() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait() // it was killed
}

// TestBridge: with the brokers that the documentation shows, a device of a site is seen in the centre
// and gets what the fleet wants; when the site is cut off, nobody takes it for online, and when that
// comes back, it is.
func TestBridge(t *testing.T) {
	centre := newMosquitto(t, "mosquitto-centre.conf")
	site := newMosquitto(t, "mosquitto-site.conf", "centre.example:1883", strings.TrimPrefix(centre.url, "tcp://"),
		"restart_timeout 1 30", "restart_timeout 1 2")
	link, err := mqtt.NewLink(mqtt.Config{Broker: site.url, TopicPrefix: "vggse", QoS: 1, StatsInterval: time.Hour},
		mqtt.Identity{Device: "edge-1", Site: "site3", Groups: []string{"line3"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 16)
	link.Listen([]string{"vggse-fleet/line3/model"}, func(m mqtt.Message) { heard <- string(m.Payload) })
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = link.Run(ctx) }) // always nil
	defer running.Wait()
	defer cancel()
	o := Options{MQTT: mqtt.Config{Broker: centre.url, TopicPrefix: "vggse"}, Group: "line3"}
	seen := func(what string, online bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
			devices, _, err := Status(t.Context(), o)
			if err == nil && len(devices) == 1 && devices[0].Online == online {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %+v, %v, want it online: %v", what, devices, err, online)
			}
		}
	}
	seen("the bridge stands", true)
	rollout, stop := context.WithCancel(t.Context())
	running.Go(func() {
		_ = Run(rollout, o, Start{Target: target, Plan: Plan{[]string{"100%"}, time.Hour, time.Minute, "0"}})
	})
	if got := <-heard; !strings.Contains(got, target.Digest) {
		t.Errorf("the device hears %s", got)
	}
	stop()
	site.kill()
	seen("the site is cut off", false)
	site.start()
	seen("the bridge stands again", true)
}
