package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// publish is a real mosquitto_pub.
func (b *mosquitto) publish(t *testing.T, topic, payload string) {
	t.Helper()
	cmd := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", fmt.Sprint(b.port), "-q", "1", "-t", topic, "-m",
		payload)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// order gives a command, and returns its response.
func (b *mosquitto) order(t *testing.T, lines <-chan string, id, name, args string) string {
	t.Helper()
	b.publish(t, "vggse/edge/command", fmt.Sprintf(`{"id":%q,"name":%q,"args":%s,"ts":%q}`, id, name, args,
		time.Now().UTC().Format(time.RFC3339Nano)))
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if got := await(t, lines, "command/response "); strings.Contains(got, fmt.Sprintf(`"id":%q`, id)) {
			return got
		}
	}
	t.Fatalf("command %s is not answered", id)
	return ""
}

// settingsFile writes a configuration of two cameras.
func settingsFile(t *testing.T, path string, broker *mosquitto, more string) {
	t.Helper()
	text := fmt.Sprintf(`
device: {id: edge}
cameras:
  - {name: left, source: "demo://parts?fps=15&width=320&height=180"}
  - {name: right, source: "demo://parts?fps=15&width=320&height=180&seed=2", decide: {threshold: 0.7}}
mqtt: {broker: "tcp://%s", publish: {every: true}, commands: {allow: [set, snapshot, reload, restart, model_activate]}}
http: {listen: "off"}
%s
`, broker.addr(), more)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCommands are the effects on the whole agent: what is set holds at once, outlives a SIGKILL,
// and yields to a configuration that changed; a picture, other settings and a restart come when
// they are asked for.
func TestCommands(t *testing.T) {
	broker := startMosquitto(t)
	file, state := filepath.Join(t.TempDir(), "agent.yaml"), t.TempDir()
	bundleDir := seededBundle(t)
	settingsFile(t, file, broker, "model: {bundle: "+bundleDir+"}")
	args := []string{"run", "--config", file, "--set", "state_dir=" + state, "--log-level", "error"}
	agent := startAgent(t, args...)
	lines := broker.subscribe(t, "vggse/edge/+/+/state", "vggse/edge/+/status", "vggse/edge/command/response",
		"vggse/edge/available", "vggse/edge/right/result")
	await(t, lines, "left/status online")
	broker.publish(t, "vggse/edge/left/enabled/set", "OFF")
	await(t, lines, "left/status disabled")
	broker.publish(t, "vggse/edge/right/threshold/set", "0.95")
	await(t, lines, "right/threshold/state 0.95")
	await(t, lines, "right/result") // the other camera goes on

	agent.Process.Kill()
	agent.Wait()
	agent = startAgent(t, args...)
	lines = broker.subscribe(t, "vggse/edge/#")
	for _, want := range []string{"left/enabled/state OFF", "right/threshold/state 0.95"} {
		await(t, broker.subscribe(t, "vggse/edge/+/+/state"), want)
	}
	await(t, lines, "right/result")
	if got := broker.order(t, lines, "no", "snapshot", `{"camera":"left"}`); !strings.Contains(got,
		`"status":"error","message":"the camera is disabled"`) {
		t.Error(got)
	}
	broker.publish(t, "vggse/edge/left/enabled/set", "ON")
	await(t, lines, "left/status online")
	snapshot(t, broker, lines)

	settingsFile(t, file, broker, "decide: {threshold: 0.5}\nmodel: {bundle: "+bundleDir+"}")
	if got := broker.order(t, lines, "anew", "reload", `{}`); !strings.Contains(got, `"status":"ok"`) {
		t.Error(got)
	}
	await(t, lines, "left/threshold/state 0.5")
	await(t, lines, "right/result")
	if err := os.WriteFile(file, []byte("camras: []"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := broker.order(t, lines, "wrong", "reload", `{}`); !strings.Contains(got, `"status":"error"`) ||
		!strings.Contains(got, "camras: unknown key") {
		t.Error(got)
	}
	if got := broker.order(t, lines, "over", "restart", `{}`); !strings.Contains(got, `"status":"ok"`) {
		t.Error(got)
	}
	await(t, lines, "available stopped")
	if agent.Wait(); agent.ProcessState.ExitCode() != exitRestart {
		t.Errorf("exit %d, want %d", agent.ProcessState.ExitCode(), exitRestart)
	}
}

// snapshot asks for a picture and looks at it.
func snapshot(t *testing.T, broker *mosquitto, lines <-chan string) {
	t.Helper()
	sub := exec.Command("mosquitto_sub", "-h", "127.0.0.1", "-p", fmt.Sprint(broker.port), "-t",
		"vggse/edge/left/snapshot", "-t", subscribed, "-C", "2", "-N", "-W", fmt.Sprint(patience.Seconds()))
	out, err := sub.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("yes"))); err != nil { // retained: the subscription holds
		t.Fatal(err)
	}
	if got := broker.order(t, lines, "picture", "snapshot", `{"camera":"left"}`); !strings.Contains(got,
		`"status":"ok"`) {
		t.Error(got)
	}
	picture, err := io.ReadAll(out)
	if err := errors.Join(err, sub.Wait()); err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	if got := img.Bounds(); got.Dx() != 320 || got.Dy() != 180 {
		t.Errorf("picture of %v", got)
	}
}

// TestModelActivate: what 'model install' put there runs after the command, by its digest; nothing
// else can be named.
func TestModelActivate(t *testing.T) {
	broker := startMosquitto(t)
	here, file, state := t.TempDir(), filepath.Join(t.TempDir(), "agent.yaml"), t.TempDir()
	for _, name := range []string{"demo", "build", "go.mod"} { // as in a checkout
		target, err := filepath.Abs("../../" + name)
		if err == nil {
			err = os.Symlink(target, filepath.Join(here, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	settingsFile(t, file, broker, "")
	code, stdout, stderr := agentCmd(t, "model", "install", seededBundle(t), "--set", "state_dir="+state, "--json")
	var installed struct{ SHA256 string }
	if err := json.Unmarshal([]byte(stdout), &installed); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v: %s", code, err, stderr)
	}
	startAgentIn(t, here, "run", "--config", file, "--set", "state_dir="+state, "--set", "model.trial.shadow=2",
		"--log-level", "error")
	lines := broker.subscribe(t, "vggse/edge/#")
	demoResult := modelOf(t, await(t, lines, "left/result"))
	if got := broker.order(t, lines, "other", "model_activate", `{"sha256":"`+strings.Repeat("ab", 32)+
		`"}`); !strings.Contains(got, `"status":"error"`) {
		t.Error(got)
	}
	_, stdout, _ = agentCmd(t, "model", "install", brokenBundle(t, seededBundle(t)), "--set", "state_dir="+state,
		"--json")
	if got := broker.order(t, lines, "broken", "model_activate", `{"sha256":"`+digest(t, stdout)+
		`"}`); !strings.Contains(got, "was not activated: verify: ") {
		t.Error(got)
	}
	if got := broker.order(t, lines, "this", "model_activate", `{"sha256":"`+installed.SHA256+
		`"}`); !strings.Contains(got, `"status":"ok"`) {
		t.Fatal(got)
	}
	for end := time.Now().Add(patience); ; {
		if got := modelOf(t, await(t, lines, "left/result")); got != demoResult {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the demo's model still runs")
		}
	}
}

// modelOf is the digest of the model file in a line of mosquitto_sub.
func modelOf(t *testing.T, line string) string {
	t.Helper()
	_, payload, _ := strings.Cut(line, " ")
	var m struct{ Model struct{ SHA256 string } }
	if err := json.Unmarshal([]byte(payload), &m); err != nil || m.Model.SHA256 == "" {
		t.Fatalf("%v: %s", err, line)
	}
	return m.Model.SHA256
}
