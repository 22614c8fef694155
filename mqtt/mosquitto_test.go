package mqtt

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// mosquitto is a real broker in a process of its own, on a loopback port of its own.
type mosquitto struct {
	t    *testing.T
	conf string
	port int
	cmd  *exec.Cmd
	done chan struct{}
}

func needMosquitto(t *testing.T, program string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if path, err := exec.LookPath(dir + program); err == nil {
			return path
		}
	}
	t.Skip("mosquitto not found (make deps)")
	return ""
}

// startMosquitto starts a broker; without lines of configuration it lets everybody in.
func startMosquitto(t *testing.T, lines ...string) *mosquitto {
	t.Helper()
	needMosquitto(t, "mosquitto")
	m := &mosquitto{t: t, port: freePort(t), conf: filepath.Join(t.TempDir(), "mosquitto.conf")}
	if lines == nil {
		lines = []string{"allow_anonymous true"}
	}
	text := fmt.Sprintf("listener %d 127.0.0.1\nmax_queued_messages 0\nuser root\n%s\n", m.port,
		strings.Join(lines, "\n"))
	if err := os.WriteFile(m.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	t.Cleanup(m.kill)
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	m.cmd = exec.Command(needMosquitto(m.t, "mosquitto"), "-c", m.conf)
	out := new(strings.Builder)
	m.cmd.Stderr, m.cmd.Stdout = out, out
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.done = make(chan struct{})
	go func() { m.cmd.Wait(); close(m.done) }()
	eventually(m.t, hang, "mosquitto listens", func() bool {
		select {
		case <-m.done:
			m.t.Fatalf("mosquitto ended: %s", out)
		default:
		}
		c, err := net.Dial("tcp", m.addr())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// kill is SIGKILL.
func (m *mosquitto) kill() {
	m.cmd.Process.Kill()
	<-m.done
}

func (m *mosquitto) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port)) }
func (m *mosquitto) url() string  { return "tcp://" + m.addr() }

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// heard is one message as the real mosquitto_sub tells it (format %j).
type heard struct {
	Retain  int
	QoS     int
	Topic   string
	Payload string
}

// ears is a real mosquitto_sub on every topic.
type ears struct {
	mu  sync.Mutex
	all []heard
}

// listen starts a mosquitto_sub until the test ends. It has subscribed when listen returns.
func listen(t *testing.T, port int, options ...string) *ears {
	t.Helper()
	program := needMosquitto(t, "mosquitto_sub")
	args := append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(port), "-q", "1", "-t", "#", "-d", "-F", "%j"},
		options...)
	cmd := exec.Command("stdbuf", append([]string{"-oL", program}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e := new(ears)
	subscribed, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		once := sync.OnceFunc(func() { close(subscribed) })
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			line := lines.Text()
			if strings.Contains(line, "received SUBACK") || strings.HasPrefix(line, "Subscribed") {
				once()
			}
			var h heard
			if json.Unmarshal(lines.Bytes(), &h) == nil {
				e.mu.Lock()
				e.all = append(e.all, h)
				e.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		cmd.Wait()
	})
	select {
	case <-subscribed:
	case <-time.After(hang):
		t.Fatal("mosquitto_sub does not subscribe")
	}
	return e
}

// on lists what was heard on a topic.
func (e *ears) on(topic string) []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []heard
	for _, h := range e.all {
		if h.Topic == topic {
			found = append(found, h)
		}
	}
	return found
}

// last is the payload heard last on a topic, "" where none was.
func (e *ears) last(topic string) string {
	if all := e.on(topic); len(all) > 0 {
		return all[len(all)-1].Payload
	}
	return ""
}
