package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// seen is what a line of mosquitto_sub says of a result.
type seen struct {
	Frame uint64 `json:"frame_id"`
	Model struct{ SHA256 string }
	Top   []struct{ Label string }
}

// resultOf waits for the next result and fails where a camera or the agent was lost on the way.
func resultOf(t *testing.T, lines <-chan string) seen {
	t.Helper()
	for {
		line := await(t, lines, "vggse/edge/")
		for _, lost := range []string{"/status offline", "/available offline", "/available stopped", "camera_lost"} {
			if strings.Contains(line, lost) {
				t.Fatalf("the change lost a camera: %s", line)
			}
		}
		topic, payload, _ := strings.Cut(line, " ")
		if !strings.HasSuffix(topic, "/result") {
			continue
		}
		var s seen
		if err := json.Unmarshal([]byte(payload), &s); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		return s
	}
}

// TestChangeover: a running agent takes an activated model of another size and other labels without
// losing a camera, by a signal; one that cannot run is refused, and the one before goes on.
func TestChangeover(t *testing.T) {
	broker, state := startMosquitto(t), t.TempDir()
	first, second := seededBundle(t), filepath.Join(t.TempDir(), "second")
	if code, _, stderr := agentCmd(t, "new", "--out", second, "--classes", "5", "--width", "0.125", "--input", "64",
		"--hidden", "16", "--pool", "2", "--reduction", "4", "--seed", "9"); code != exitDone {
		t.Fatal(stderr)
	}
	model := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := agentCmd(t,
			append([]string{"model"}, append(args, "--json", "--set", "state_dir="+state)...)...)
		if code != exitDone {
			t.Fatalf("model %v: exit %d: %s", args, code, stderr)
		}
		return stdout
	}
	a, b := digest(t, model("install", first)), digest(t, model("install", second))
	broken := digest(t, model("install", brokenBundle(t, first)))
	model("activate", a)
	agent := startAgent(t, "run", "--source", "demo://parts?fps=15&width=320&height=180", "--broker",
		"tcp://"+broker.addr(),
		"--set", "device.id=edge", "--set", "mqtt.publish.every=true", "--set", "state_dir="+state, "--set",
		"http.listen=off", "--set", "model.trial.shadow=2")
	lines, events, updates := broker.subscribe(t, "vggse/edge/#"), broker.subscribe(t, "vggse/edge/event"),
		broker.subscribe(t, "vggse/edge/update")
	await(t, lines, "vggse/edge/camera/status online")
	before := resultOf(t, lines)
	reload := func() {
		t.Helper()
		if err := agent.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	model("activate", b)
	reload()
	now := before
	for frame := before.Frame; now.Model.SHA256 == before.Model.SHA256; frame = now.Frame {
		if now = resultOf(t, lines); now.Frame <= frame {
			t.Fatalf("frame %d after frame %d: the camera was opened again", now.Frame, frame)
		}
	}
	await(t, updates, `"state":"shadow"`)
	await(t, updates, `"state":"probation"`)
	if len(now.Top) != 5 || now.Top[0].Label == "" {
		t.Errorf("the second model has 5 labels, the result %+v", now.Top)
	}
	await(t, broker.subscribe(t, "vggse/edge/info"), fmt.Sprintf(`"sha256":%q`, now.Model.SHA256))

	model("activate", broken, "--no-verify")
	reload()
	await(t, broker.subscribe(t, "vggse/edge/health"), "the new model was refused")
	if got := await(t, events, "model_changed"); !strings.Contains(got, fmt.Sprintf(`"sha256":%q`, now.Model.SHA256)) {
		t.Errorf("the change is told as %s", got)
	}
	if got := await(t, events, "model_rolled_back"); !strings.Contains(got, fmt.Sprintf(`"bundle":%q`, broken)) {
		t.Errorf("the refusal of %s is told as %s", broken, got)
	}
	for range 5 {
		if got := resultOf(t, lines); got.Model != now.Model {
			t.Fatalf("%s answers, want %s", got.Model.SHA256, now.Model.SHA256)
		}
	}
	for line := range strings.Lines(model("list")) {
		if active := strings.Contains(line, `"active":true`); active != strings.Contains(line, b) {
			t.Errorf("model list: %s, want %.12s to be the active one", line, b)
		}
	}
	code, stdout, stderr := agentCmd(t, "rollback", "--json", "--set", "state_dir="+state)
	if want := fmt.Sprintf(`{"sha256":%q,"name":`, a); code != exitDone || !strings.HasPrefix(stdout, want) ||
		!strings.Contains(stderr, fmt.Sprintf("process %d", agent.Process.Pid)) {
		t.Fatalf("rollback: exit %d, %s%s, want %s and the agent's process", code, stdout, stderr, want)
	}
	for frame := now.Frame; now.Model != before.Model; frame = now.Frame {
		if now = resultOf(t, lines); now.Frame <= frame {
			t.Fatalf("frame %d after frame %d: the camera was opened again", now.Frame, frame)
		}
	}
	if code, _, stderr = agentCmd(t, "rollback", "--set", "state_dir="+state); code != exitFailed ||
		!strings.Contains(stderr, "there is no model before the active one") {
		t.Errorf("rollback twice: exit %d, %s", code, stderr)
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
