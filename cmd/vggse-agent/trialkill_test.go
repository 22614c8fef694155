package main

import (
	"io"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/bundle/store"
)

// TestKilledOnTrial: an agent that is killed at any point of a model's comparison and trial starts
// with that model or the one before, never with another, and the trial comes to its end.
func TestKilledOnTrial(t *testing.T) {
	state, second := t.TempDir(), filepath.Join(t.TempDir(), "second")
	if code, _, stderr := agentCmd(t, "new", "--out", second, "--classes", "3", "--width", "0.125", "--input", "32",
		"--hidden", "16", "--pool", "1", "--reduction", "4", "--seed", "8"); code != exitDone {
		t.Fatal(stderr)
	}
	model := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := agentCmd(t, append(append([]string{"model"}, args...), "--json", "--set",
			"state_dir="+state)...)
		if code != exitDone {
			t.Fatal(stderr)
		}
		return digest(t, stdout)
	}
	run := []string{"run", "--source", "demo://parts?fps=60&width=320&height=180", "--broker", "embedded", "--set",
		"state_dir=" + state, "--set", "http.listen=off", "--set", "model.trial.frames=60", "--set",
		"model.trial.hold=1s", "--set", "model.trial.shadow=1", "--set", "model.trial.latency=0"}
	models := store.At(state)
	until := func(what string, is func(i store.Installed) bool) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			i, _, err := models.Active()
			if err != nil {
				t.Fatal(err)
			}
			if is(i) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s did not come: %+v", what, i)
			}
		}
	}
	a, b := model("install", seededBundle(t)), model("install", second)
	model("activate", a)
	agent := startAgentTo(t, io.Discard, "", run...)
	until("the end of the first trial", func(i store.Installed) bool { return !i.OnTrial })
	model("activate", b)
	r := rand.New(rand.NewPCG(3, 1))
	for range *lives / 2 {
		if err := agent.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
		agent.Process.Kill()
		agent.Wait()
		until("one of the two", func(i store.Installed) bool { return i.SHA256 == b })
		agent = startAgentTo(t, io.Discard, "", run...)
		time.Sleep(200 * time.Millisecond) // until it takes signals
	}
	until("the end of the trial", func(i store.Installed) bool { return i.SHA256 == b && !i.OnTrial })
	if before, ok := models.Before(); !ok || before.SHA256 != a {
		t.Errorf("before it stands %+v, want %s", before, a)
	}
}
