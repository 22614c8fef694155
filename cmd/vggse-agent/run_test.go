package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/mqtt/contract"
)

// mosquitto is a real broker on loopback that a test may kill and start again.
type mosquitto struct {
	port   int
	config string
	cmd    *exec.Cmd
	tap    *contract.Tap
}

func startMosquitto(t *testing.T) *mosquitto {
	t.Helper()
	for _, program := range []string{"mosquitto", "mosquitto_sub"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("mosquitto not found (make deps)")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &mosquitto{port: l.Addr().(*net.TCPAddr).Port, config: filepath.Join(t.TempDir(), "mosquitto.conf")}
	l.Close()
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nuser root\n", b.port)
	if err := os.WriteFile(b.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b.start(t)
	t.Cleanup(b.kill)
	t.Setenv("XDG_STATE_HOME", t.TempDir()) // what waits for another test's broker is not for this one
	b.tap = judged(t, fmt.Sprintf("127.0.0.1:%d", b.port))
	return b
}

func (b *mosquitto) start(t *testing.T) {
	t.Helper()
	b.cmd = exec.Command("mosquitto", "-c", b.config)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port)); err == nil {
			c.Close()
			return
		}
	}
	t.Fatal("mosquitto does not listen")
}

func (b *mosquitto) kill() {
	b.cmd.Process.Kill()
	b.cmd.Wait()
}

// addr is that of the tap, where every message is held against the contract.
func (b *mosquitto) addr() string { return b.tap.Addr() }

const subscribed = "test/subscribed"

// subscribe runs mosquitto_sub on the topics; its lines are "topic payload".
func (b *mosquitto) subscribe(t *testing.T, topics ...string) <-chan string {
	t.Helper()
	args := []string{"-h", "127.0.0.1", "-p", fmt.Sprint(b.port), "-v", "-q", "1"}
	for _, topic := range append(topics, subscribed) { // its retained message comes when all others hold
		args = append(args, "-t", topic)
	}
	pub := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", fmt.Sprint(b.port), "-q", "1", "-r", "-t",
		subscribed, "-m", "yes")
	if said, err := pub.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	cmd := exec.Command("mosquitto_sub", args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, holds := make(chan string, 10_000), make(chan string, 10)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if strings.HasPrefix(scan.Text(), subscribed) {
				holds <- scan.Text()
			} else {
				lines <- scan.Text()
			}
		}
		cmd.Wait()
	}()
	t.Cleanup(func() { cmd.Process.Kill() })
	await(t, holds, subscribed)
	return lines
}

// patience is how long the tests wait for what must come: the machine may be busy.
const patience = 90 * time.Second

// await reads lines until one has the text.
func await(t *testing.T, lines <-chan string, text string) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the subscriber ended before %q came", text)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-timeout:
			t.Fatalf("%q did not come within %s", text, patience)
		}
	}
}

// startAgent runs the program in a process of its own.
func startAgent(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return startAgentIn(t, "", args...)
}

// startAgentIn does so in the folder dir.
func startAgentIn(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	return startAgentTo(t, os.Stderr, dir, args...)
}

// startAgentTo does so, and its log goes to log.
func startAgentTo(t testing.TB, log io.Writer, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TEST_AS_VGGSE_AGENT=1")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// TestRunAgainstMosquitto is the main job with real parts: results and retained states reach a real
// subscriber through a real broker; broker and agent are killed in turn, and it goes on.
func TestRunAgainstMosquitto(t *testing.T) {
	broker := startMosquitto(t)
	args := []string{"run", "--bundle", seededBundle(t), "--source", "demo://parts?fps=15&width=320&height=180",
		"--broker", "tcp://" + broker.addr(), "--set", "device.id=edge", "--set", "mqtt.publish.every=true",
		"--log-level", "error"}
	agent := startAgent(t, args...)
	lines := broker.subscribe(t, "vggse/edge/#")
	await(t, lines, "vggse/edge/camera/status online")
	result := await(t, lines, "vggse/edge/camera/result ")
	for _, field := range []string{`"schema":"vggse.result/1"`, `"seq":`, `"top":[{"label":`, `"sha256":"`,
		`"latency_us":{`, `"provider":"cpu"`} {
		if !strings.Contains(result, field) {
			t.Errorf("result %s: no %s", result, field)
		}
	}

	broker.kill()
	broker.start(t)
	lines = broker.subscribe(t, "vggse/edge/#")
	await(t, lines, "vggse/edge/available online")
	await(t, lines, "vggse/edge/camera/result ")

	agent.Process.Kill()
	await(t, lines, "vggse/edge/available offline")
	agent = startAgent(t, args...)
	await(t, lines, "vggse/edge/available online")
	await(t, lines, "vggse/edge/camera/result ")

	stop := time.Now()
	if err := agent.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	await(t, lines, "vggse/edge/available stopped")
	if err := agent.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if took := time.Since(stop); took > 2*time.Second && *trouble >= soak {
		t.Errorf("Ctrl-C took %s, want under 2 s", took)
	}
}

// TestOneAgentPerState: a second agent with the same state folder is refused in one sentence, the
// first goes on, and what waits is under that folder.
func TestOneAgentPerState(t *testing.T) {
	broker, state := startMosquitto(t), t.TempDir()
	args := []string{"run", "--bundle", seededBundle(t), "--source", "demo://parts?fps=15&width=320&height=180",
		"--broker", "tcp://" + broker.addr(),
		"--set", "device.id=edge", "--set", "mqtt.publish.every=true", "--set", "state_dir=" + state, "--log-level",
		"error"}
	startAgent(t, args...)
	lines := broker.subscribe(t, "vggse/edge/#")
	await(t, lines, "vggse/edge/camera/result ")
	code, _, stderr := agentCmd(t, args...)
	want := "mqtt: open " + filepath.Join(state, "spool") +
		": another agent uses this folder: give this one a state_dir of its own"
	if code != exitFailed || !strings.Contains(stderr, want) || strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
		t.Errorf("exit %d: %s; want %q", code, stderr, want)
	}
	await(t, lines, "vggse/edge/camera/result ")
}

// TestRunEndsWithItsFile: a folder of pictures is classified once, then the agent ends by itself.
func TestRunEndsWithItsFile(t *testing.T) {
	pictures := filepath.Join(t.TempDir(), "pictures")
	if code, _, stderr := agentCmd(t, "demo-data", "--out", pictures, "--n", "13", "--seed", "5"); code != exitDone {
		t.Fatal(stderr)
	}
	broker := startMosquitto(t)
	lines := broker.subscribe(t, "vggse/edge/#")
	code, _, stderr := agentCmd(t, "run", "--bundle", seededBundle(t), "--source", "file://"+pictures+"/empty",
		"--broker", "tcp://"+broker.addr(), "--set", "device.id=edge", "--set", "mqtt.publish.every=true")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	await(t, lines, "vggse/edge/camera/result ")
	await(t, lines, "vggse/edge/available stopped")
}

// TestDemoShowsChangingLabels is what 'make run' promises: the trained demo bundle on the demo's
// conveyor, seen through a real subscriber, names different parts one after the other.
func TestDemoShowsChangingLabels(t *testing.T) {
	broker := startMosquitto(t)
	lines := broker.subscribe(t, "vggse/edge/camera/classification")
	startAgent(t, "run", "--bundle", "../../demo/bundle", "--source", "demo://parts?fps=45&seed=1",
		"--broker", "tcp://"+broker.addr(), "--set", "device.id=edge", "--log-level", "error")
	seen := map[string]bool{}
	for timeout := time.After(patience); len(seen) < 4; {
		select {
		case line := <-lines:
			if label := strings.TrimPrefix(line, "vggse/edge/camera/classification "); label != "unknown" {
				seen[label] = true
			}
		case <-timeout:
			t.Fatalf("labels seen in %s: %v, want 4 different ones", patience, seen)
		}
	}
}

// TestReload: new settings are taken while the process goes on; wrong ones, and such as lead to
// nothing that runs, are refused, and the old ones stay.
func TestReload(t *testing.T) {
	broker := startMosquitto(t)
	file := filepath.Join(t.TempDir(), "agent.yaml")
	settings := func(text string) {
		t.Helper()
		text += fmt.Sprintf("\nmqtt: {broker: \"tcp://%s\", publish: {every: true}}\nhttp: {listen: "+
			"\"off\"}\ndevice: {id: edge}\n", broker.addr())
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const camera = "cameras: [{name: %s, source: \"demo://parts?fps=15&width=320&height=180\"}]"
	bundleDir := seededBundle(t)
	settings(fmt.Sprintf(camera+"\nmodel: {bundle: %s}", "one", bundleDir))
	told := new(syncBuffer)
	agent := startAgentTo(t, told, "", "run", "--config", file, "--log-level", "error")
	lines := broker.subscribe(t, "vggse/edge/#")
	await(t, lines, "vggse/edge/one/result ")
	reload := func() {
		t.Helper()
		if err := agent.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	settings(fmt.Sprintf(camera+"\nmodel: {bundle: %s}", "two", bundleDir))
	reload()
	await(t, lines, "vggse/edge/two/result ")

	settings("camras: []")
	reload()
	for end := time.Now().Add(patience); !strings.Contains(told.String(), "new settings refused"); {
		if time.Now().After(end) {
			t.Fatalf("the log does not say that the settings are refused: %s", told.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	settings(fmt.Sprintf(camera+"\nmodel: {bundle: /nowhere}", "three"))
	refused := func(times int, because string) { // and the old settings have not been let go meanwhile
		t.Helper()
		reload()
		for end := time.Now().Add(patience); strings.Count(told.String(), "the old ones go on") < times; {
			if time.Now().After(end) {
				t.Fatalf("the log does not say that the settings are refused: %s", told.String())
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !strings.Contains(told.String(), because) {
			t.Errorf("the log does not say %q: %s", because, told.String())
		}
	}
	refused(2, "/nowhere")
	settings("cameras: [{name: two, source: \"demo://parts?fps=15&width=320&height=180\"}, " +
		"{name: x, source: \"file:///nope.mp4\"}]\nmodel: {bundle: " + bundleDir + "}")
	refused(3, "cameras[1].source")
	settings(fmt.Sprintf(camera+"\nmodel: {bundle: %s}\n", "two", bundleDir))
	reload() // nothing has changed: nothing is touched
	await(t, lines, "vggse/edge/two/result ")
	for drained := false; !drained; {
		select {
		case line := <-lines:
			if strings.Contains(line, "stopped") || strings.Contains(line, "offline") {
				t.Errorf("a reload that changes nothing, or is refused, said %s", line)
			}
		default:
			drained = true
		}
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// TestStoppedBeforeItRuns: an agent that is told to stop while it starts has not failed.
func TestStoppedBeforeItRuns(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out, errs bytes.Buffer
	code := execute(ctx, []string{"run", "--config", os.DevNull, "--bundle", seededBundle(t), "--source",
		"demo://parts", "--broker", "tcp://127.0.0.1:9", "--set", "http.listen=off", "--set",
		"state_dir=" + t.TempDir()}, &out, &errs)
	if code != exitDone || strings.Contains(errs.String(), "vggse-agent:") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}
