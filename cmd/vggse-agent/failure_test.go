package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingToRun: where no model can be opened, and there is none before it, the agent says why on
// the broker, retained, lets no label and no camera's state of an earlier run stand, and fails.
func TestNothingToRun(t *testing.T) {
	bundle := seededBundle(t)
	weights := filepath.Join(bundle, "fp32.onnx")
	text, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(weights, text, 0o644); err != nil {
		t.Fatal(err)
	}
	broker := startMosquitto(t)
	lines := broker.subscribe(t, "vggse/edge/#")
	code, _, stderr := agentCmd(t, "run", "--bundle", bundle, "--source", "demo://parts", "--broker",
		"tcp://"+broker.addr(), "--set", "device.id=edge")
	if code != exitFailed || !strings.Contains(stderr, "the file was changed or damaged") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	await(t, lines, `vggse/edge/health {"schema":"vggse.health/1","device":"edge","overall":"failed",`+
		`"parts":{"cameras":{"status":"degraded","reason":"none is opened"},`+
		`"model":{"status":"failed","reason":"bundle: `+weights+` has SHA-256 `)
	await(t, lines, "vggse/edge/camera/status offline")
	await(t, lines, "vggse/edge/camera/classification unknown")
	await(t, lines, "vggse/edge/available stopped")
	late := broker.subscribe(t, "vggse/edge/health")
	await(t, late, `"overall":"failed"`) // retained
}

// TestBrokerAway: the last word of an agent that has nothing to run does not hold up its end.
func TestBrokerAway(t *testing.T) {
	code, _, stderr := agentCmd(t, "run", "--bundle", t.TempDir(), "--source", "demo://parts", "--broker",
		"tcp://127.0.0.1:1", "--set", "device.id=edge", "--set", "state_dir="+t.TempDir())
	if code != exitFailed || !strings.Contains(stderr, "is not a bundle") ||
		!strings.Contains(stderr, "the broker was not told that nothing runs") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
