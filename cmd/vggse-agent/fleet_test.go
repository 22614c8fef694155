package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/mqtt/broker"
)

// TestFleetVerbs: what cannot be is refused with its cure before anything is retained; a rollout over a
// real broker to a device that takes nothing is halted, shown, and taken back.
func TestFleetVerbs(t *testing.T) {
	work := t.TempDir()
	at := func(name string) string { return filepath.Join(work, name) }
	b, err := broker.Start("127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	agent := func(want int, says string, args ...string) string {
		t.Helper()
		code, stdout, stderr := agentCmd(t, append(args, "--broker", b.URL(), "--set", "state_dir="+at("state"),
			"--set", "model.trust="+at("trust"), "--set", "update.from="+work)...)
		if code != want || !strings.Contains(stderr+stdout, says) {
			t.Fatalf("%v: exit %d, says %q %q, want %d and %q", args, code, stdout, stderr, want, says)
		}
		return stdout
	}
	if err := os.CopyFS(at("bundle"), os.DirFS(demoBundleDir(t))); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"release", "keygen", "--out", at("k"), "--no-password"},
		{"release", "sign", at("bundle"), "--release", "8", "--key", at("k.key"), "--out", at("parts")},
	} {
		if code, _, stderr := agentCmd(t, args...); code != exitDone {
			t.Fatalf("%v: %s", args, stderr)
		}
	}
	digest, err := bundle.Digest(at("bundle"))
	if err != nil {
		t.Fatal(err)
	}
	rollout := []string{"fleet", "rollout", "parts:8", "--group", "line3", "--hold", "0s", "--spread", "0s", "--key",
		at("k.pub")}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "rollout wants --group NAME", []string{"fleet", "rollout", "parts:8"}},
		{exitDone, "no device was heard below vggse/", []string{"fleet", "status"}},
		{exitUsage, "--group: must be letters", []string{"fleet", "status", "--group", "a/b"}},
		{exitUsage, "--listen: 0.0.0.0:9109 is reached from elsewhere", []string{"fleet", "status", "--listen",
			"0.0.0.0:9109"}},
		{exitUsage, "wants NAME:N", []string{"fleet", "rollout", "parts", "--group", "line3"}},
		{exitUsage, "the last must be 100%", append(rollout, "--waves", "1,2")},
		{exitUsage, `"x" is neither`, append(rollout, "--stop-at", "x")},
		{exitFailed, "it has no release 9", []string{"fleet", "rollout", "parts:9", "--group", "line3", "--key",
			at("k.pub")}},
		{exitFailed, "no key is trusted here", []string{"fleet", "rollout", "parts:8", "--group", "line3"}},
		{exitFailed, "digest: must be 64", append(rollout, "--digest", "ab")},
		{exitFailed, "no device of group line3 was heard", rollout},
		{exitFailed, "no rollout to line3 is known", []string{"fleet", "halt", "--group", "line3"}},
		{exitFailed, "no rollout to line3 is known", []string{"fleet", "back", "--group", "line3"}},
	} {
		agent(c.code, c.says, c.args...)
	}
	// A device that is there, runs release 7, and takes nothing.
	link, err := mqtt.NewLink(mqtt.Config{Broker: b.URL(), TopicPrefix: "vggse", QoS: 1, StatsInterval: 1 << 40},
		mqtt.Identity{Device: "edge-1", Groups: []string{"line3"}, Release: mqtt.Release{Name: "parts", Number: 7,
			Bundle: strings.Repeat("7", 64)}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stop := runLink(t, link)
	defer stop()
	agent(exitGate, "1 of 1 devices failed, at most 2% may (edge-1: has not begun)", rollout...)
	agent(exitGate, "the rollout is halted: ", rollout...)
	agent(exitFailed, "is halted already", "fleet", "halt", "--group", "line3")
	var line struct {
		Device  string
		Online  bool
		Release int64
	}
	out := agent(exitDone, "", "fleet", "status", "--group", "line3", "--json")
	if err := json.Unmarshal([]byte(out), &line); err != nil || line.Device != "edge-1" || !line.Online ||
		line.Release != 7 {
		t.Errorf("status: %s, %v", out, err)
	}
	agent(exitDone, "parts:8 to line3: halted, wave 1 of 3", "fleet", "status", "--group", "line3")
	agent(exitDone, "parts:8 to line3: back", "fleet", "back", "--group", "line3")
	heard := make(chan mqtt.Message, 8)
	hear(t, b.URL(), "vggse-fleet/line3/model", heard)
	if m := <-heard; !strings.Contains(string(m.Payload), `"release":7,"digest":"7777`) {
		t.Errorf("the group shall run %s", m.Payload)
	}
	agent(exitGate, "has not begun", append(rollout, "--again", "--digest", digest)...)
}

// runLink connects a link, and waits until it is.
func runLink(t *testing.T, l *mqtt.Link) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) }) // always nil
	for end := time.Now().Add(time.Minute); !l.Connected() || l.Waiting() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not connected within a minute")
		}
	}
	return func() { cancel(); running.Wait() }
}

// hear subscribes to one topic until the test ends.
func hear(t *testing.T, broker, topic string, heard chan<- mqtt.Message) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		_ = mqtt.Subscribe(ctx, mqtt.Config{Broker: broker}, []string{topic}, func(error) {}, // ends with ctx
			func(m mqtt.Message) { heard <- m })
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}
